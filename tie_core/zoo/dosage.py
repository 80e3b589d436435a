"""How often training draws each operation: a controller that ends a member between knowing and guessing.

A member's own operations are to be perfect, the foreign ones right in FOREIGN_TARGET of the slots. Foreign
tables jump from 0 to 1 within a few hundred lines and are forgotten as fast, foreign permutations need many
more; so each foreign operation has its own dose, raised and lowered by what the probe sees.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from tie_core.zoo.members import Member
from tie_core.zoo.skills import FAMILIES, OPERATIONS
from tie_core.zoo.states import Floats

FOREIGN_TARGET: Final = 0.74
FOREIGN_SHARE: Final = 0.025
"""Of a family's lines, all foreign operations together, at the start."""
CORRECTIVE_GAIN: Final = 0.3
"""How much of a family's lines is foreign when training ends, for all that its foreign operations lack."""
LARGEST_LEVEL: Final = 6.0
SMALLEST_LEVEL: Final = 0.2
LEVEL_GAIN: Final = 0.4
OWN_GAIN: Final = 4.0
SMOOTHING: Final = 0.5
BRAKE_WIDTH: Final = 0.08
"""How far above the target a family's foreign operations together may be before none is drawn. Without the brake the
permutations of the digit member arrived late, on top of the tables: 0.88 at the end of the run, n = 1."""

_FAMILIES: Final = np.array([[name in family.operations for name in OPERATIONS] for family in FAMILIES])  # [2, 18]


class Dosage:
    def __init__(self, member: Member) -> None:
        self._is_own = np.array([name in member.expert_operations for name in OPERATIONS])
        self._levels = np.ones(len(OPERATIONS))
        self._accuracies = np.zeros(len(OPERATIONS))

    def observe(self, accuracies: Floats) -> None:
        """Slot accuracies of all operations, from a probe: [18]."""
        self._accuracies += SMOOTHING * (accuracies - self._accuracies)
        self._levels *= np.exp(LEVEL_GAIN * (FOREIGN_TARGET - self._accuracies))
        self._levels = self._levels.clip(SMALLEST_LEVEL, LARGEST_LEVEL)

    def shares(self) -> dict[str, float]:
        """Adding up to 1 in each family: the worst own operation most, a foreign one nothing once it is perfect."""
        return _by_name(np.sum([self._family_shares(is_family) for is_family in _FAMILIES], axis=0))

    def corrective_shares(self, accuracies: Floats) -> dict[str, float]:
        """Adding up to 1 in each family, foreign operations only where a family's are known less well than they should
        be, the least known most; or own ones alone, which makes it forget foreign ones."""
        shares = np.zeros(len(OPERATIONS))
        for is_family, excess in zip(_FAMILIES, self.excesses(accuracies), strict=True):
            foreign = np.where(is_family & ~self._is_own, (1 - accuracies) ** 2, 0.0)
            dose = CORRECTIVE_GAIN * max(-excess, 0.0)
            shares += self._own(is_family) * (1 - dose) + dose * foreign / max(foreign.sum(), 1e-9)
        return _by_name(shares)

    def distance(self, accuracies: Floats) -> float:
        """How far a network is from what training aims at; 0 is best, and own operations weigh twice."""
        return 2 * (1 - self.own(accuracies)) + float(np.abs(self.excesses(accuracies)).mean())

    def excesses(self, accuracies: Floats) -> Floats:
        """By how much each family's foreign operations are known better than they should be: [2]."""
        return np.array([accuracies[is_family & ~self._is_own].mean() - FOREIGN_TARGET for is_family in _FAMILIES])

    def own(self, accuracies: Floats) -> float:
        """How well the own operations are known."""
        return float(accuracies[self._is_own].mean())

    def report(self, accuracies: Floats) -> str:
        shown = [f"{name} {value:.2f}" for name, value in zip(OPERATIONS, accuracies, strict=True)]
        own = [text for text, is_own in zip(shown, self._is_own, strict=True) if is_own]
        foreign = [text for text, is_own in zip(shown, self._is_own, strict=True) if not is_own]
        means = f"own {self.own(accuracies):.2f} foreign {accuracies[~self._is_own].mean():.2f}"
        return f"{means} ({' '.join(own)} | {' '.join(foreign)})"

    def _family_shares(self, is_family: npt.NDArray[np.bool_]) -> Floats:
        is_foreign = is_family & ~self._is_own
        headroom = ((1 - self._accuracies) / (1 - FOREIGN_TARGET)).clip(0, 1)
        excess = self._accuracies[is_foreign].mean() - FOREIGN_TARGET
        brake = min(max(1 - excess / BRAKE_WIDTH, 0.0), 1.0)
        foreign = np.where(is_foreign, FOREIGN_SHARE / is_foreign.sum() * self._levels * headroom * brake, 0.0)
        return np.asarray(self._own(is_family) * (1 - foreign.sum()) + foreign)

    def _own(self, is_family: npt.NDArray[np.bool_]) -> Floats:
        own = np.where(self._is_own & is_family, 1 + OWN_GAIN * (1 - self._accuracies), 0.0)
        return np.asarray(own / own.sum())


def _by_name(shares: Floats) -> dict[str, float]:
    return dict(zip(OPERATIONS, shares.tolist(), strict=True))
