"""The checks of a model family, and the one call that makes them all."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tie_core.testing.checking import demand, findings
from tie_core.testing.folders import check_footprint, check_refusals
from tie_core.testing.forwards import (
    check_determinism,
    check_known_reply,
    check_packing,
    check_recorded,
    check_shapes,
    check_shift,
    check_sight,
    check_windows,
)
from tie_core.testing.running import check_decoding, check_engine
from tie_core.testing.specimen import Specimen, load_specimen
from tie_core.testing.tokens import check_chat, check_mask, check_proposals, check_vocabulary

FAMILY_CHECKS: Final[Mapping[str, Callable[[Specimen], None]]] = {
    "refusals": check_refusals,
    "footprint": check_footprint,
    "shapes": check_shapes,
    "determinism": check_determinism,
    "sight": check_sight,
    "packing": check_packing,
    "shift": check_shift,
    "known reply": check_known_reply,
    "windows": check_windows,
    "recorded": check_recorded,
    "mask": check_mask,
    "proposals": check_proposals,
    "vocabulary": check_vocabulary,
    "chat": check_chat,
    "decoding": check_decoding,
    "engine": check_engine,
}


def check_family(
    path: str | Path,
    device: str = "cpu",
    dtype: str = "float32",
    known: tuple[str, str] | None = None,
    recorded: str | Path | None = None,
) -> None:
    """Hold the family of the checkpoint folder at `path` against everything that the engine relies on.

    `known` is a prompt and the reply that the model should give; `recorded` a file for `check_recorded`. A check that
    lacks what it needs is passed over: `python -m tie_core.testing PATH` tells which.

    Raises:
        AssertionError: some checks are broken; the message names all of them.
        CheckpointError, PlacementError: the checkpoint cannot be loaded.
    """
    specimen = load_specimen(path, device, dtype, known, recorded)
    demand(str(path), findings(FAMILY_CHECKS, specimen))
