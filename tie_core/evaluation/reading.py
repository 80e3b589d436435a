"""What the figures say, in sentences computed from the rows; a sentence whose rows were not measured is left out."""

from collections.abc import Iterator, Mapping, Sequence

from tie_core.evaluation.intervals import paired
from tie_core.evaluation.rows import Row
from tie_core.evaluation.tables import figure, in_percent, points_with_interval
from tie_core.evaluation.targets import Verdict

Rows = Mapping[str, Row]


def sentences(rows: Rows, targets: Sequence[Verdict], num_failed: int) -> Iterator[str]:
    yield _summary(targets)
    yield from _beyond_choosing(rows, num_failed)
    yield from _leaders(rows)
    yield from _cross_model(rows)
    yield from _intervals(rows)
    yield from _thresholds(rows)


def _summary(targets: Sequence[Verdict]) -> str:
    missed = [target for target in targets if target.is_met is False]
    num_met = sum(target.is_met is True for target in targets)
    told = f"{num_met} of {len(targets)} targets are met."
    if missed:
        told += " Missed: " + "; ".join(f"{target.target} (measured: {target.measured})" for target in missed) + "."
    return told


def _beyond_choosing(rows: Rows, num_failed: int) -> Iterator[str]:
    """Choosing among finished answers cannot solve what all members fail; relays can."""
    solved = [f"{rows[name].solved_of_failed} with {name}" for name in ("tcc", "top1") if name in rows]
    if solved:
        yield (
            f"Both members fail {num_failed} of the items alone, and no choice among finished answers can solve one of"
            f" those. TIE solves {' and '.join(solved)}."
        )


def _leaders(rows: Rows) -> Iterator[str]:
    for name in ("tcc", "top1"):
        if name in rows and "random" in rows:
            yield f"TIE with {name} against a random leader: {_compare(rows, name, 'random')} points."
        if name in rows and "expert" in rows:
            yield f"TIE with {name} against the line's expert as leader: {_compare(rows, name, 'expert')} points."


def _cross_model(rows: Rows) -> Iterator[str]:
    if {"top1", "top1-own"} <= set(rows):
        yield f"Cross-model reading against the own reading only, top1: {_compare(rows, 'top1', 'top1-own')} points."


def _intervals(rows: Rows) -> Iterator[str]:
    for score in ("tcc", "top1"):
        by_n = {n: rows[name] for n, name in ((4, f"{score}-n4"), (8, score), (16, f"{score}-n16")) if name in rows}
        if len(by_n) > 1:
            told = ", ".join(f"n = {n} {in_percent(row.share)}" for n, row in by_n.items())
            best = max(by_n, key=lambda n: by_n[n].share)
            yield f"Intervals with {score}: {told}; the best of them is n = {best}."


def _thresholds(rows: Rows) -> Iterator[str]:
    for score in ("tcc", "top1"):
        for n in (1, 3):
            name = f"threshold-{score}" + ("-n1" if n == 1 else "")
            if {score, name} <= set(rows):
                yield (
                    f"Threshold 0.9, {score}, n = {n}: {_forwards(rows[name])} forwards a request instead of"
                    f" {_forwards(rows[score])}, and {_compare(rows, name, score)} points."
                )


def _compare(rows: Rows, first: str, second: str) -> str:

    return points_with_interval(paired(rows[first].right, rows[second].right))


def _forwards(row: Row) -> str:
    return figure(row.decode_forwards + row.score_forwards)
