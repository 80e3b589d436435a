"""How much one packed forward may hold: so long as a tick should take, and so much as the memory holds.

A budget decides what is batched together, never what comes out.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

FIXED_SHARE: Final = 4
"""A forward may take so many times its fixed cost, however short a tick should be: a model that is slow to start would
otherwise spend more on starting than on canvases."""
RECOVERY_SHARE: Final = 64
"""After running out of memory the budget grows by this part of itself with every forward that used it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a forward reads: packed positions, pairs of positions that see each other, rows of the head."""

    num_positions: int = 0
    num_pairs: int = 0
    num_rows: int = 0

    def __add__(self, other: "Load") -> "Load":
        return Load(
            self.num_positions + other.num_positions,
            self.num_pairs + other.num_pairs,
            self.num_rows + other.num_rows,
        )


def load_of(length: int, num_rows: int) -> Load:
    """One canvas of `length` positions that is watched at `num_rows` of them."""
    return Load(length, length * length, num_rows)


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a forward: fixed, and for every position, pair and row."""

    fixed: float = 0.0
    position: float = 0.0
    pair: float = 0.0
    row: float = 0.0

    def seconds(self, load: Load) -> float:
        return self.fixed + self.position * load.num_positions + self.pair * load.num_pairs + self.row * load.num_rows


class Budget:
    """One worker's. `max_positions` is what the memory holds and no more than a limit of the configuration; it shrinks
    when memory runs out all the same, and recovers slowly.
    """

    def __init__(self, costs: Costs, tick_seconds: float, max_positions: int) -> None:
        assert max_positions > 0
        self.costs = costs
        self.seconds = max(tick_seconds, FIXED_SHARE * costs.fixed)
        self.max_positions = self._most_positions = max_positions

    def has_room_for(self, load: Load) -> bool:
        return load.num_positions <= self.max_positions and self.costs.seconds(load) <= self.seconds

    def shrink(self, num_positions: int) -> None:
        """A forward of so many positions ran out of memory: half of them next time."""
        self.max_positions = max(1, min(self.max_positions, num_positions) // 2)

    def recover(self, num_positions: int) -> None:
        """A forward of so many positions did not. Forwards far below the budget prove nothing."""
        if 2 * num_positions >= self.max_positions:
            grown = self.max_positions + ceil(self.max_positions / RECOVERY_SHARE)
            self.max_positions = min(self._most_positions, grown)
