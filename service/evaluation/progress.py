"""How far an evaluation is, on stderr: a bar in a terminal, a line now and then anywhere else."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tie_core.evaluation.records import Record
from tie_core.evaluation.running import Work

SECONDS_BETWEEN_LINES: Final = 30.0
FEWEST: Final = 10
SHARE: Final = 0.05
"""Before so many records, and this part of all, no time left is told."""


class TimeLeft:
    """By what each condition has cost so far: the time since the record before is a record's own cost.

    `at_once` requests run side by side, and the first of them took the time of all: less than that is no ground.
    """

    def __init__(self, work: Sequence[Work], at_once: int, now: float) -> None:
        self._due = Counter(each.condition.key for each in work)
        self._answered = Counter[str]()
        self._costs = dict.fromkeys(self._due, 0.0)
        self._fewest = max(FEWEST, at_once)
        self._ground = max(self._fewest, SHARE * len(work))
        self._last = now

    def after(self, condition: str, now: float) -> float | None:
        """Seconds, once a record of this condition has come; None while there is no ground to say."""
        self._due[condition] -= 1
        self._answered[condition] += 1
        self._costs[condition] += now - self._last
        self._last = now
        if not self._due.total():
            return 0.0
        if self._answered.total() < self._ground:
            return None
        return sum(num * self._cost(each) for each, num in self._due.items())

    def _cost(self, condition: str) -> float:
        """Of one record; of a condition that has few of them what any has cost."""
        num = self._answered[condition]
        if num < self._fewest:
            return sum(self._costs.values()) / self._answered.total()
        return self._costs[condition] / num


def track(name: str, work: Sequence[Work], records: Iterator[Record], at_once: int) -> Iterable[Record]:
    """The records, shown as they pass: what is answered, of how many, and the time that is left."""
    console = Console(stderr=True)
    if not work:
        sys.stderr.write(f"{name}: everything is answered already\n")
        return records
    left = TimeLeft(work, at_once, time.monotonic())
    labels = {each.condition.key: each.condition.label for each in work}
    if console.is_terminal:
        return _bar(console, name, len(work), labels, left, records)
    return _lines(name, len(work), labels, left, records)


def _bar(
    console: Console, name: str, num: int, labels: Mapping[str, str], left: TimeLeft, records: Iterator[Record]
) -> Iterator[Record]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(name, total=num, left="")
        for record in records:
            seconds = left.after(record.condition, time.monotonic())
            told = "" if seconds is None else str(timedelta(seconds=round(seconds)))
            progress.update(bar, advance=1, description=f"{name}: {labels[record.condition]}", left=told)
            yield record


def _lines(
    name: str, num: int, labels: Mapping[str, str], left: TimeLeft, records: Iterator[Record]
) -> Iterator[Record]:
    last = time.monotonic()
    for number, record in enumerate(records, start=1):
        now = time.monotonic()
        seconds = left.after(record.condition, now)
        if number in (1, num) or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            told = "" if seconds is None else f", {seconds / 60:.0f} min left"
            sys.stderr.write(f"{name}: {number} of {num}{told} ({labels[record.condition]})\n")
        yield record
