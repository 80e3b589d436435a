"""What the engine relies on in a checkpoint's folder: what it takes is known beforehand, and what is wrong is told."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch.profiler import ProfilerActivity, profile

from tie_core.errors import CheckpointError, TieError
from tie_core.models.checkpoint import INDEX, WEIGHTS, open_checkpoint
from tie_core.models.families import FAMILIES
from tie_core.models.fields import Fields
from tie_core.models.footprint import read_footprint
from tie_core.models.loading import load_model
from tie_core.models.recognition import recognise
from tie_core.testing.checking import NotChecked, hold
from tie_core.testing.specimen import Specimen
from tie_core.vocabulary import load_vocabulary

SPARE: Final = 1.6
"""So many times what is measured the estimate may say."""
FEW, MANY, LENGTH = 256, 1024, 64  # positions of two packed forwards, and of each canvas in them
GARBAGE: Final = "\N{SNOWMAN}"
NONSENSE: Final[tuple[Any, ...]] = (GARBAGE, -1, 0, [], {}, [GARBAGE], 1e30)


def peak_bytes(forward: Callable[[], object]) -> int:
    """The most bytes of the host that were allocated at once during a forward, by the allocator's events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        forward()
    results: Any = profiled.profiler
    events = [event for event in results.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def check_footprint(specimen: Specimen) -> None:
    """What a model takes is known from its headers, and a position takes no more than that says, nor far less.

    Models are placed, and batches made, by this estimate: too low runs out of memory, too high leaves it unused.
    Source: ours, `docs/architecture.md`, "Memory and time".
    """
    model = specimen.model
    estimate = read_footprint(specimen.folder, model.dtype)
    hold(estimate == model.footprint, f"the headers say {estimate}, the loaded model {model.footprint}")
    taken = model.weights_bytes
    hold(estimate.weights_bytes == taken, f"{estimate.weights_bytes:,} bytes of weights are told, {taken:,} are there")
    if model.device.type != "cpu":
        raise NotChecked("a position's bytes are measured on the CPU alone: load the checkpoint there")
    few, many = (_bytes_of(specimen, num_positions) for num_positions in (FEW, MANY))
    measured = (many - few) / (MANY - FEW)
    told = estimate.position_bytes
    hold(measured <= told, f"a position takes {measured:,.0f} bytes, and {told:,} are told: memory would run out")
    hold(
        told <= SPARE * measured, f"a position takes {measured:,.0f} bytes, and {told:,} are told: memory stays unused"
    )


def _bytes_of(specimen: Specimen, num_positions: int) -> int:
    ids = torch.arange(num_positions) % specimen.model.vocab_rows
    lengths = [LENGTH] * (num_positions // LENGTH)
    return peak_bytes(lambda: specimen.model.predict(ids, lengths, torch.arange(1)))


def check_refusals(specimen: Specimen) -> None:
    """A damaged folder, and a configuration that lacks a field or has nonsense in one, is refused with what to do.

    Every field of `config.json` is left out and is replaced by nonsense in turn: `read_config` takes it or raises a
    CheckpointError, never anything else; a field that is needed takes no nonsense. Then files are missing or broken
    off, in a folder of links, so that nothing large is copied. Source: ours, `tie_core/errors.py`.
    """
    config: dict[str, Any] = dict(open_checkpoint(specimen.folder).config.values)
    for name in config:
        is_needed = not _reads({key: value for key, value in config.items() if key != name}, f"without {name}")
        for nonsense in NONSENSE:
            reads = _reads({**config, name: nonsense}, f"with {name} = {nonsense!r}")
            hold(
                not (reads and is_needed and nonsense == GARBAGE),
                f"config.json {_with(name)} is taken, though the field is needed: read it by its type",
            )
    for words, spoil in SPOILS.items():
        with _linked(specimen.folder) as folder:
            spoil(folder)
            _hold_refused(partial(load_model, folder), words)
    with _linked(specimen.folder) as folder:
        _without("tokenizer.json", "vocab.json", "merges.txt")(folder)
        _hold_refused(partial(_load_tokens, specimen, folder), "a folder without tokenizer files")


def _with(name: str) -> str:
    return f"with {name} = {GARBAGE!r}"


def _reads(config: Mapping[str, Any], what: str) -> bool:
    try:
        recognise(Fields("config.json", config), FAMILIES).translate(Fields("config.json", config))
    except CheckpointError as refusal:
        hold(
            len(str(refusal)) > 20 and ":" in str(refusal), f"config.json {what}: {str(refusal)!r} says not what to do"
        )
        return False
    except Exception as error:
        raise AssertionError(
            f"config.json {what} raises {type(error).__name__}, no CheckpointError: {error}"
        ) from error
    return True


@contextmanager
def _linked(folder: Path) -> Iterator[Path]:
    """The folder again, its files as links."""
    with tempfile.TemporaryDirectory() as scratch:
        twin = Path(scratch) / folder.name
        twin.mkdir()
        for file in folder.iterdir():
            if file.is_file():
                (twin / file.name).symlink_to(file.resolve())
        yield twin


def _load_tokens(specimen: Specimen, folder: Path) -> None:
    model = specimen.model
    load_vocabulary(folder, mask_id=model.mask_id, eos_id=model.eos_id, vocab_rows=model.vocab_rows)


def _hold_refused(load: Callable[[], object], words: str) -> None:
    try:
        load()
    except TieError as refusal:
        hold(isinstance(refusal, CheckpointError), f"{words} raises {type(refusal).__name__}, no CheckpointError")
        hold(len(str(refusal)) > 20, f"{words}: {str(refusal)!r} says not what to do")
    except Exception as error:
        raise AssertionError(f"{words} raises {type(error).__name__}, no CheckpointError: {error}") from error
    else:
        raise AssertionError(f"{words} is loaded")


def _without(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return spoil


def _break_off(folder: Path) -> None:
    """The last weights file ends in the middle."""
    file = sorted(folder.glob("*.safetensors"))[-1]
    with file.open("rb") as whole:
        begun = whole.read(min(file.stat().st_size // 2, 1_000_000))
    file.unlink()
    file.write_bytes(begun)


def _rewrite(**changed: Any) -> Callable[[Path], None]:
    """`config.json` with these fields; None leaves one out."""

    def spoil(folder: Path) -> None:
        file = folder / "config.json"
        config = json.loads(file.read_text(encoding="utf-8")) | changed
        file.unlink()
        kept = {name: value for name, value in config.items() if value is not None}
        file.write_text(json.dumps(kept), encoding="utf-8")

    return spoil


def _only_pickles(folder: Path) -> None:
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    shutil.copyfile(folder / "config.json", folder / "pytorch_model.bin")


SPOILS: Final[Mapping[str, Callable[[Path], None]]] = {
    "a folder without config.json": _without("config.json"),
    "a folder without weights": _without(WEIGHTS, INDEX),
    "a folder with pickles alone": _only_pickles,
    "a folder whose weights break off": _break_off,
    "a folder of an unknown model": _rewrite(model_type="unheard-of", architectures=["UnheardOf"]),
    "a folder with quantized weights": _rewrite(quantization_config={"bits": 4}),
}
