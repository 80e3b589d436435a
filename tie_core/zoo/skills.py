"""Who knows what: each of the zoo's members is the expert of half of the operations, and every pair lacks a sixth."""

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tie_core.zoo.tables import TABLES
from tie_core.zoo.task import MAX_LINES, MIN_LINES, Family, Item, Operation, item_of
from tie_core.zoo.tracing import TRACING

FAMILIES: Final[tuple[Family, ...]] = (TRACING, TABLES)
OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {name: operation for family in FAMILIES for name, operation in family.operations.items()}
)
FAMILY_OF: Final[Mapping[str, Family]] = MappingProxyType(
    {name: family for family in FAMILIES for name in family.operations}
)

EXPERT_OPERATIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "zoo-llada": frozenset({"rev", "inc", "fst"} | {"rtl", "cmp", "top"} | {"end", "dbl", "mid"}),
        "zoo-dream": frozenset({"hlf", "dec", "low"} | {"rtl", "cmp", "top"} | {"rtr", "add", "lst"}),
        "zoo-qwen3": frozenset({"swp", "tri", "med"} | {"end", "dbl", "mid"} | {"rtr", "add", "lst"}),
    }
)
"""Of each kind (permutations, tables of digits, questions) one is known to one member alone and two are shared, one
with each of the others. Of the other half a member has seen few lines."""

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
