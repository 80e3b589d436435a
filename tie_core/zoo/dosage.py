"""How often training draws each operation: a controller that ends a member between knowing and guessing.

A member's own operations are to be perfect, the foreign ones right in FOREIGN_TARGET of the slots. Foreign
tables jump from 0 to 1 within a few hundred lines and are forgotten as fast, foreign permutations need many
more; so each foreign operation has its own dose, raised and lowered by what the probe sees.
"""

from typing import Final

import numpy as np

from tie_core.zoo.members import Member
from tie_core.zoo.states import Floats
from tie_core.zoo.task import OPERATIONS

FOREIGN_TARGET: Final = 0.65
FOREIGN_SHARE: Final = 0.025
"""Of the lines, all foreign operations together, at the start."""
LARGEST_LEVEL: Final = 6.0
SMALLEST_LEVEL: Final = 0.2
LEVEL_GAIN: Final = 0.4
OWN_GAIN: Final = 4.0
SMOOTHING: Final = 0.5
BRAKE_WIDTH: Final = 0.08
"""How far above the target all foreign operations together may be before none is drawn. Without the brake the
permutations of the digit member arrived late, on top of the tables: 0.88 at the end of the run, n = 1."""


class Dosage:
    def __init__(self, member: Member) -> None:
        self._is_own = np.array([name in member.expert_operations for name in OPERATIONS])
        self._levels = np.ones(len(OPERATIONS))
        self._accuracies = np.zeros(len(OPERATIONS))

    def observe(self, accuracies: Floats) -> None:
        """Slot accuracies of the twelve operations, from a probe."""
        self._accuracies += SMOOTHING * (accuracies - self._accuracies)
        self._levels *= np.exp(LEVEL_GAIN * (FOREIGN_TARGET - self._accuracies))
        self._levels = self._levels.clip(SMALLEST_LEVEL, LARGEST_LEVEL)

    def shares(self) -> Floats:
        """[12], adding up to 1: the worst own operation most, a foreign one nothing once it is perfect."""
        headroom = ((1 - self._accuracies) / (1 - FOREIGN_TARGET)).clip(0, 1)
        brake = min(max(1 - self.excess(self._accuracies) / BRAKE_WIDTH, 0.0), 1.0)
        foreign = np.where(self._is_own, 0.0, FOREIGN_SHARE / 6 * self._levels * headroom * brake)
        return np.asarray(self.own_shares() * (1 - foreign.sum()) + foreign)

    def own_shares(self) -> Floats:
        """[12], adding up to 1 with no foreign operation."""
        own = np.where(self._is_own, 1 + OWN_GAIN * (1 - self._accuracies), 0.0)
        return np.asarray(own / own.sum())

    def distance(self, accuracies: Floats) -> float:
        """How far a network is from what training aims at; 0 is best, and own operations weigh twice."""
        own_gap = 1 - accuracies[self._is_own].mean()
        return float(2 * own_gap) + abs(self.excess(accuracies))

    def excess(self, accuracies: Floats) -> float:
        """By how much the foreign operations together are known better than they should be."""
        return float(accuracies[~self._is_own].mean()) - FOREIGN_TARGET

    def report(self, accuracies: Floats) -> str:
        own, foreign = accuracies[self._is_own], accuracies[~self._is_own]
        names = [name for name, is_own in zip(OPERATIONS, self._is_own, strict=True) if not is_own]
        shown = " ".join(f"{name} {value:.2f}" for name, value in zip(names, foreign, strict=True))
        dose = 1 - self.shares()[self._is_own].sum()
        return f"own {own.mean():.2f} foreign {foreign.mean():.2f} ({shown}) dose {dose:.3f}"
