"""A model family that is held against what the engine relies on: one checkpoint of it, loaded as a member."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from tie_core.member import Member, load_member
from tie_core.models.invariance import is_exact
from tie_core.models.mask_predictor import MaskPredictor

NAME: Final = "specimen"
TOLERANCES: Final = {torch.float32: 2e-5, torch.bfloat16: 0.06, torch.float16: 0.01}
"""How far two ways to compute the same logits may lie apart, as a share of the largest logit."""


@dataclass(frozen=True, slots=True)
class Specimen:
    """`known` is a prompt and the reply that the model should give; `recorded` a recorded forward, see
    `forwards.check_recorded`. Checks that need one say so where there is none.
    """

    folder: Path
    member: Member
    known: tuple[str, str] | None = None
    recorded: Path | None = None

    @property
    def model(self) -> MaskPredictor:
        return self.member.model

    @property
    def is_exact(self) -> bool:
        """Whether bits are promised: in float32 on the CPU."""
        return is_exact(self.model.device, self.model.dtype)

    def random_canvas(self, length: int, seed: int) -> Tensor:
        """Token ids `[length]`, of any token that there is."""
        rows = min(self.member.vocabulary.size, self.model.vocab_rows)
        return torch.randint(rows, (length,), generator=torch.Generator().manual_seed(seed))

    def distance(self, one: Tensor, other: Tensor) -> float:
        """The largest difference of two tensors of logits, as a share of the largest logit."""
        one, other = one.float().cpu(), other.float().cpu()
        return float((one - other).abs().max() / other.abs().max())

    def are_near(self, one: Tensor, other: Tensor) -> bool:
        return self.distance(one, other) <= TOLERANCES[self.model.dtype]


def load_specimen(
    path: str | Path,
    device: str = "cpu",
    dtype: str = "float32",
    known: tuple[str, str] | None = None,
    recorded: str | Path | None = None,
) -> Specimen:
    """Load a checkpoint folder of the family. Slow; raises CheckpointError and PlacementError as `load_member` does."""
    folder = Path(path)
    member = load_member(NAME, folder, device=device, dtype=dtype)
    return Specimen(folder, member, known, None if recorded is None else Path(recorded))


def read_packed(model: MaskPredictor, canvases: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
    """One forward over canvases end to end: of each the logits `[K, V]` that predict its `positions [K]`."""
    lengths = [len(canvas) for canvas in canvases]
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    asked = torch.cat([start + chosen for start, chosen in zip(starts, positions, strict=True)])
    rows = model.predict(torch.cat(list(canvases)), lengths, asked)
    return list(torch.split(rows, [len(chosen) for chosen in positions]))


def read_plainly(model: MaskPredictor, canvas: Tensor, is_shifted: bool) -> Tensor:
    """Logits `[T, V]` that predict every position of one canvas `[T]`, by the family's own forward of it alone.

    With shifted logits a position is predicted by the row to its left, and the first by its own.
    """
    rows = model.logits(canvas[None])[0]
    return torch.cat([rows[:1], rows[:-1]]) if is_shifted else rows
