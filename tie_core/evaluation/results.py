"""What was measured of one task, as tables ask for it: runs by condition, members read off the post-generation run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tie_core.evaluation.conditions import NEVER, POST, Condition
from tie_core.evaluation.record_file import Key
from tie_core.evaluation.records import LedRound, Record
from tie_core.evaluation.task import Item, Task

STAGES: Final = ("first third", "second third", "last third")


@dataclass(frozen=True, slots=True)
class Study:
    """A task on an ensemble. `base` are the options of a request that asks for the task's alone, `intervals` the n
    of one that names a score, and `resolve` tells all options of one that asks for these over the task's; `conditions`
    are the main table's, `chosen` one of them, on other items, and `chosen_part` the best of those that ask a part of
    the members, on the same. `learned` is what a calibration chose there, and `chosen` then the best score before."""

    task: Task
    members: tuple[str, ...]
    base: Mapping[str, Any]
    intervals: Mapping[str, int]
    resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    conditions: tuple[Condition, ...]
    chosen: Condition | None = None
    chosen_part: Condition | None = None
    learned: Condition | None = None

    @property
    def relayed(self) -> tuple[Condition, ...]:
        """The main table's conditions that have rounds, each once."""
        return tuple({each.key: each for each in self.conditions if each.options.get("interval") != NEVER}.values())

    def label_of(self, condition: Condition) -> str:
        """With what was chosen about it."""
        choices = {
            "chosen on validation items": self.learned or self.chosen,
            "the best score on validation items": self.chosen if self.learned else None,
            "the best part on validation items": self.chosen_part,
        }
        said = [what for what, choice in choices.items() if choice is not None and choice.key == condition.key]
        return condition.label + (f" ({', '.join(said)})" if said else "")


@dataclass(frozen=True, slots=True)
class Results:
    """The records of a table's items, in the items' order."""

    study: Study
    items: tuple[Item, ...]
    records: Mapping[Key, Record]

    def runs(self, condition: Condition) -> tuple[Record, ...]:
        return tuple(self.records[condition.key, item.id] for item in self.items)

    def right(self, condition: Condition) -> tuple[bool, ...]:
        return tuple(run.is_right for run in self.runs(condition))

    def right_alone(self, member: str, condition: Condition = POST) -> tuple[bool, ...]:
        """Which items a member answers right by itself, read off the run without relays.

        It is exact: no round ends before a member has completed, so nobody sees another's canvas, and each decodes step
        by step as it would alone (`tests/properties/test_identities.py`), on the ensemble's R and A. A member that
        was lost to its logits or its memory counts as wrong, as it would alone; no other loss is recorded.
        """
        return tuple(run.members_right.get(member, False) for run in self.runs(condition))

    def best_member(self, condition: Condition = POST) -> str:
        """The one with more right answers on these very items, so it is favoured in comparisons with it."""
        return max(self.study.members, key=lambda name: sum(self.right_alone(name, condition)))

    def failed_by_all(self) -> tuple[bool, ...]:
        return tuple(not any(run.members_right.values()) for run in self.runs(POST))


def changes_by_run(runs: Iterable[Record]) -> tuple[tuple[int, int], ...]:
    """Of each run the rounds that another member led than the one before, of all its rounds but the first."""
    return tuple((run.switches, max(0, len(run.rounds) - 1)) for run in runs)


def change_rate(runs: Iterable[Record]) -> tuple[int, int]:
    """The same of all runs together."""
    changes = changes_by_run(runs)
    return sum(switched for switched, _ in changes), sum(num for _, num in changes)


def stage_of(number: int, num_rounds: int, num_stages: int = len(STAGES)) -> int:
    """The third of its run that a round is in, both counted from 0."""
    return number * num_stages // num_rounds


def wins_by_stage(runs: Iterable[Record], member: str) -> tuple[tuple[int, int], ...]:
    """For each third of the runs: rounds that a member led, of all."""
    led, rounds = [0] * len(STAGES), [0] * len(STAGES)
    for run in runs:
        for number, leader in enumerate(run.leaders):
            stage = stage_of(number, len(run.rounds))
            rounds[stage] += 1
            led[stage] += leader == member
    return tuple(zip(led, rounds, strict=True))


def switches_by_stage(runs: Iterable[Record], num_stages: int = len(STAGES)) -> tuple[tuple[int, int], ...]:
    """For each stage of the runs: rounds with another leader than the one before, of all but each run's first."""
    switched, rounds = [0] * num_stages, [0] * num_stages
    for run in runs:
        for number in range(1, len(run.rounds)):
            stage = stage_of(number, len(run.rounds), num_stages)
            rounds[stage] += 1
            switched[stage] += run.leaders[number] != run.leaders[number - 1]
    return tuple(zip(switched, rounds, strict=True))


def changes_of(runs: Iterable[Record], member: str, *, is_right: bool) -> list[float]:
    """Whole-run token change counts of a member's runs whose own answer was right, or wrong; runs without evidence are
    left out."""
    counts = (run.tcc.get(member) for run in runs if run.members_right.get(member) == is_right)
    return [count for count in counts if count is not None]


def undecided(runs: Iterable[Record]) -> tuple[tuple[int, int], ...]:
    """Of each run the rounds in which no member alone had the best score, of all its rounds."""
    return tuple((sum(map(_is_undecided, run.rounds)), len(run.rounds)) for run in runs)


def _is_undecided(ended: LedRound) -> bool:
    told = [score for score in ended.scores.values() if score is not None]
    return not told or told.count(max(told)) > 1
