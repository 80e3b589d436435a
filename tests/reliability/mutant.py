"""A seeded bug: one replacement in one file of the product, and the tests that must fail on it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands exactly once in `file` and becomes `new`; pytest with `tests` as its arguments must then fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
