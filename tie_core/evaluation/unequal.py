"""Members with a gap between them: what plain TIE loses or gains by the weaker one, and what a calibration does."""

from collections.abc import Iterator
from typing import Final

from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.results import Results, Study
from tie_core.evaluation.sections import Cell, Figure, Grid, P, Points, Right, Section, Share, Words, compared

PLAIN: Final = tie_by("tcc")
HEADER: Final = ("", "gap, points", "right, %", "over the better member", "p", "over plain TIE (tcc)", "p")
NOTE: Final = """\
Test items, none of which anything was chosen or learned on. The gap is that of the best and the worst member alone on
these items. The better member is the one with more right answers on these very items, so it is favoured."""


def conditions(study: Study) -> tuple[Condition, ...]:
    asked = (POST, PLAIN, study.chosen, study.learned)
    return tuple({condition.key: condition for condition in asked if condition is not None}.values())


def render(results: Results) -> Section:
    return section([results])


def section(pairs: list[Results]) -> Section:
    """One table of several ensembles, each with the records of these conditions."""
    rows = [row for results in pairs for row in _rows(results)]
    told = tuple(_verdict(results, learned) for results in pairs if (learned := results.study.learned) is not None)
    return Section("unequal", "Unequal members", NOTE, (Grid(HEADER, tuple(rows)),), told)


def _rows(results: Results) -> Iterator[tuple[Cell, ...]]:
    study = results.study
    alone = {name: results.right_alone(name) for name in study.members}
    num_right = [sum(right) for right in alone.values()]
    gap = 100 * (max(num_right) - min(num_right)) / len(results.items)
    ways: dict[str, Right] = {f"{name} alone": right for name, right in alone.items()}
    ways |= {study.label_of(condition): results.right(condition) for condition in conditions(study)}
    better, plain = alone[results.best_member()], results.right(PLAIN)
    for label, right in ways.items():
        over_better, over_plain = compared(right, better), compared(right, plain)
        cells: tuple[Cell, ...] = (Words(label), Figure(gap), Share.of_right(right), Points(over_better))
        yield (*cells, P(over_better), Points(over_plain), P(over_plain))


def _verdict(results: Results, learned: Condition) -> str:
    study = results.study
    better = results.best_member()
    told = []
    for name, other in {f"{better} alone": results.right_alone(better), "plain TIE": results.right(PLAIN)}.items():
        found = compared(results.right(learned), other)
        words = "as right as"
        if found is not None and found.is_told_apart:
            words = "better than" if found.difference > 0 else "**worse** than"
        told.append(f"{words} {name}")
    return f"{' and '.join(study.members)}: the calibration ({learned.label}) is {', '.join(told)}."
