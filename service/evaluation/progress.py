"""How far an evaluation is, on stderr: a bar in a terminal, a line now and then anywhere else."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tie_core.evaluation.records import Record
from tie_core.evaluation.running import Work

SECONDS_BETWEEN_LINES = 30.0


def track(name: str, work: Sequence[Work], records: Iterator[Record]) -> Iterable[Record]:
    """The records, shown as they pass: what is answered, of how many, and the time that is left."""
    console = Console(stderr=True)
    if not work:
        sys.stderr.write(f"{name}: everything is answered already\n")
        return records
    return _bar(console, name, len(work), records) if console.is_terminal else _lines(name, len(work), records)


def _bar(console: Console, name: str, num: int, records: Iterator[Record]) -> Iterator[Record]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(name, total=num)
        for record in records:
            progress.update(bar, advance=1, description=f"{name}: {record.condition}")
            yield record


def _lines(name: str, num: int, records: Iterator[Record]) -> Iterator[Record]:
    started = last = time.monotonic()
    for number, record in enumerate(records, start=1):
        now = time.monotonic()
        if number in (1, num) or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = (now - started) / number * (num - number)
            sys.stderr.write(f"{name}: {number} of {num}, {left / 60:.0f} min left ({record.condition})\n")
        yield record
