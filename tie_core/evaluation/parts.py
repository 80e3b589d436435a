"""All members against parts of them: what the members that a part leaves out add, over the same items."""

from collections.abc import Sequence
from dataclasses import replace

from tie_core.evaluation.conditions import Condition
from tie_core.evaluation.results import Results
from tie_core.evaluation.sections import Cell, Grid, P, Points, Words, compared

HEADER = ("all members over a part of them", "points", "p")


def over_parts(results: Results, asked: Sequence[Condition]) -> Grid | None:
    """Each condition that asks all members, paired with each that asks some of them for the same; None without any."""
    rows: list[tuple[Cell, ...]] = []
    for whole in (condition for condition in asked if not condition.models):
        for part in (condition for condition in asked if condition.models and _asks_the_same(whole, condition)):
            gained = compared(results.right(whole), results.right(part))
            label = f"{results.study.label_of(whole)} over {results.study.label_of(part)}"
            rows.append((Words(label), Points(gained), P(gained)))
    return Grid(HEADER, tuple(rows)) if rows else None


def _asks_the_same(whole: Condition, part: Condition) -> bool:
    return replace(part, models=()).key == whole.key
