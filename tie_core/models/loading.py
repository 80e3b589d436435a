"""Load a checkpoint folder as a mask predictor, or say why not. No remote code, no pickle, no network."""

from pathlib import Path
from typing import Final

import torch

from tie_core.errors import CheckpointError, PlacementError, UnsupportedModelError
from tie_core.models.checkpoint import open_checkpoint
from tie_core.models.dtypes import known_dtype
from tie_core.models.families import FAMILIES
from tie_core.models.mask_predictor import MaskPredictor
from tie_core.models.recognition import recognise
from tie_core.models.token_ids import read_token_ids
from tie_core.models.weights import build_model

SELF_TEST_LENGTH: Final = 16


def load_model(
    path: str | Path, device: str | torch.device = "cpu", dtype: str | torch.dtype = torch.float32
) -> MaskPredictor:
    """Load the checkpoint folder at `path`; slow, the weights are read here.

    Raises CheckpointError for a folder that cannot be loaded, UnsupportedModelError for a model that TIE
    cannot ensemble, PlacementError for a device or dtype that is not to be had.
    """
    placed_device, placed_dtype = _available_device(device), known_dtype(dtype)
    checkpoint = open_checkpoint(Path(path))
    family = recognise(checkpoint.config, FAMILIES)
    config = family.translate(checkpoint.config)
    token_ids = read_token_ids(
        checkpoint,
        mask_token=family.mask_token,
        end_of_turn=family.end_of_turn,
        vocab_rows=int(config.vocab_size),
    )
    model = build_model(checkpoint, family, config, placed_device, placed_dtype)
    predictor = MaskPredictor(model, family, checkpoint.path, token_ids)
    self_test(predictor)
    return predictor


def self_test(predictor: MaskPredictor) -> None:
    """Refuse a model whose first position does not see the last, or whose logits are not finite."""
    ids = torch.arange(SELF_TEST_LENGTH) % predictor.vocab_rows  # [T] long
    changed = ids.clone()
    changed[-1] = predictor.eos_id
    logits = predictor.logits(torch.stack([ids, changed]))  # [2, T, V]
    if not logits.isfinite().all():
        raise CheckpointError(
            f"{predictor.path} gives logits that are not finite in {predictor.dtype}: try bfloat16 or "
            "float32, else download the weights again"
        )
    if torch.equal(logits[0, 0], logits[1, 0]):
        raise UnsupportedModelError(
            f"{predictor.path} is not bidirectional: the last token does not reach the first position's "
            "logits, so TIE cannot use it; check the weights and that transformers is 5.3 or newer"
        )


def _available_device(device: str | torch.device) -> torch.device:
    try:
        placed = torch.device(device)
        torch.empty(1, device=placed)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"device {str(device)!r} cannot be used ({reason}): choose cpu or a device that is here"
        raise PlacementError(message) from error
    if placed.type == "meta":
        raise PlacementError("device 'meta' holds no weights: choose cpu or cuda")
    return placed
