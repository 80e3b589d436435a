"""Who knows what: each of the zoo's members is the expert of half of the operations, and every pair lacks a sixth."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tie_core.zoo.tables import TABLES
from tie_core.zoo.task import Family, Operation
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
