"""The sheets that a member practises: first plain ones of three lines, then every kind."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tie_core.zoo.skills import FAMILIES
from tie_core.zoo.tables import TABLES
from tie_core.zoo.task import MAX_LINES, MIN_LINES, Sheet
from tie_core.zoo.tracing import TRACING

Shares = Mapping[str, float]
"""Of each operation among those of its family."""


@dataclass(frozen=True, slots=True)
class Course:
    tables_share: float
    fewest_lines: int
    chained_share: float

    def draw(self, rng: random.Random, shares: Shares, num_sheets: int) -> list[Sheet]:
        return [self._draw_one(rng, shares) for _ in range(num_sheets)]

    def _draw_one(self, rng: random.Random, shares: Shares) -> Sheet:
        family = TABLES if rng.random() < self.tables_share else TRACING
        known = tuple(family.operations)
        num_lines = rng.randint(self.fewest_lines, MAX_LINES)
        names = rng.choices(known, [shares[name] for name in known], k=num_lines)
        return family.draw(rng, names, self.chained_share)


PLAIN: Final = Course(tables_share=0.0, fewest_lines=MAX_LINES, chained_share=0.3)
EVERYTHING: Final = Course(tables_share=0.25, fewest_lines=MIN_LINES, chained_share=0.5)


def probed_sheets(rng: random.Random, num_words: int) -> list[tuple[Sheet, int]]:
    """`num_words` sheets for every operation and where it stands in each, at every place in turn."""
    probed = []
    for family in FAMILIES:
        known = tuple(family.operations)
        for name in known:
            for number in range(num_words):
                num_lines = MIN_LINES + number % (MAX_LINES - MIN_LINES + 1)
                place = number // 2 % num_lines
                names: Sequence[str] = rng.choices(known, k=num_lines)
                names = [*names[:place], name, *names[place + 1 :]]
                probed.append((family.draw(rng, names, EVERYTHING.chained_share), place))
    return probed
