"""Members with a gap between them: what plain TIE loses or gains by the weaker one, and what a calibration does."""

from collections.abc import Iterator
from typing import Final

from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.results import Results, Study, undecided
from tie_core.evaluation.sections import Cell, Figure, Grid, P, Points, Right, Section, Share, Words, compared, standing
from tie_core.evaluation.tables import NOTHING, in_percent

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
    told = [_verdict(results, learned) for results in pairs if (learned := results.study.learned) is not None]
    calibrated = sum("calibration" in results.study.learned.options for results in pairs if results.study.learned)
    told.append(f"A calibrated reading was chosen for {calibrated} of {len(pairs)} ensembles.")
    told += map(_ties, pairs)
    return Section("unequal", "Unequal members", NOTE, (Grid(HEADER, tuple(rows)),), tuple(told))


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
    better = results.best_member()
    alone, plain, right = results.right_alone(better), results.right(PLAIN), results.right(learned)
    others = {f"{better} alone": alone} if learned.models != (better,) else {}
    others |= {"plain TIE": plain} if learned.key != PLAIN.key else {}
    told = ", ".join(standing(right, other, name) for name, other in others.items())
    return (
        f"{_named(results)}: plain TIE is {standing(plain, alone, f'{better} alone')}; what was chosen on validation"
        f" items ({learned.label}) is {told}."
    )


def _ties(results: Results) -> str:
    by_run = undecided(results.runs(PLAIN))
    tied, num = (sum(counts) for counts in zip(*by_run, strict=True))
    share = in_percent(tied / num) if num else NOTHING
    return f"{_named(results)}: no member alone had the best score in {share} of the rounds of plain TIE."


def _named(results: Results) -> str:
    return " and ".join(results.study.members)
