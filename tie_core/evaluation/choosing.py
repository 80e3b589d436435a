"""Chooses on validation items among the conditions that were asked for, and tells what was chosen among."""

from collections.abc import Sequence
from dataclasses import dataclass

from tie_core.errors import TaskError
from tie_core.evaluation.conditions import Condition
from tie_core.evaluation.results import Results
from tie_core.evaluation.sections import Figure, Grid, Section, Share, Words

NOTE = """\
Validation items, none of which is in another table. Chosen is the condition with the most right answers, ties by fewer
forwards; likewise the best part of the members. The figure of the best of several rows is too high by chance."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The best condition, the best of those that ask a part of the members (None: there are none), and the table of
    all of them over so many items."""

    best: Condition
    best_part: Condition | None
    section: Section
    num_items: int

    @classmethod
    def of(cls, results: Results, candidates: Sequence[Condition]) -> "Choice":
        """Raises:
        TaskError: there is no candidate.
        """
        parts = [each for each in candidates if each.models]
        best, best_part = choose(results, candidates), choose(results, parts) if parts else None
        marks = {best.key: " (chosen)"}
        if best_part is not None:
            marks.setdefault(best_part.key, " (the best part)")
        ranked = sorted(candidates, key=lambda each: _rank(results, each))
        rows = tuple(
            (Words(each.label + marks.get(each.key, "")), Share.of_right(results.right(each)), _forwards(results, each))
            for each in ranked
        )
        section = Section("choice", "What was chosen among", NOTE, (Grid(("", "right, %", "forwards"), rows),))
        return cls(best, best_part, section, len(results.items))


def choose(results: Results, candidates: Sequence[Condition]) -> Condition:
    """The candidate with the most right answers; ties by fewer forwards, then in order.

    Raises:
        TaskError: there is none.
    """
    if not candidates:
        raise TaskError("there is nothing to choose among: name conditions with a score, tcc for example")
    return min(candidates, key=lambda each: _rank(results, each))


def _rank(results: Results, condition: Condition) -> tuple[int, int]:
    runs = results.runs(condition)
    return -sum(run.is_right for run in runs), sum(run.num_forwards for run in runs)


def _forwards(results: Results, condition: Condition) -> Figure:
    return Figure(sum(run.num_forwards for run in results.runs(condition)) / len(results.items))
