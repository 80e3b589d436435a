"""What the zoo is measured on: items of a seed, none of which one member knows all of."""

import random
from typing import Final

from tie_core.zoo.skills import EXPERT_OPERATIONS
from tie_core.zoo.task import MAX_LINES, MIN_LINES, Family, Item, item_of
from tie_core.zoo.tracing import TRACING

CHAINED_SHARE: Final = 0.3
"""Of an item's later lines, where the family has such lines."""


def make_items(seed: int, n: int, family: Family = TRACING) -> tuple[Item, ...]:
    """The first `n` items of a seed. None is all of one member's own operations: nobody is at home in it."""
    rng = random.Random(f"{family.name} {seed}")
    return tuple(_draw_item(family, rng) for _ in range(n))


def _draw_item(family: Family, rng: random.Random) -> Item:
    known = tuple(family.operations)
    while True:
        names = [rng.choice(known) for _ in range(rng.randint(MIN_LINES, MAX_LINES))]
        if not any(own.issuperset(names) for own in EXPERT_OPERATIONS.values()):
            return item_of(family.draw(rng, names, CHAINED_SHARE))
