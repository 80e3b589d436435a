"""How far something long is, on a terminal; nothing at all anywhere else, and nothing is left of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
)
from rich.text import Text

REFRESHES: Final = 4  # a second: what is measured meanwhile pays for each of them


class Bar:
    """So many of so many, and what is done now."""

    def __init__(self, progress: Progress, task: TaskID, words: str) -> None:
        self._progress, self._task, self._words = progress, task, words

    def now(self, what: str) -> None:
        self._progress.update(self._task, what=f"{self._words} {what}")

    def done(self, num: int = 1) -> None:
        self._progress.advance(self._task, num)


class _What(ProgressColumn):
    """A name is a name: nothing in it is markup."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["what"])


@contextmanager
def counted(words: str, num: int, console: Console) -> Iterator[Bar]:
    """A bar for `num` things, with the time that has gone; it goes away at the end."""
    columns = (SpinnerColumn(), _What(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(
        *columns, console=console, transient=True, refresh_per_second=REFRESHES, disable=not console.is_terminal
    )
    with progress:
        yield Bar(progress, progress.add_task("", total=num, what=words), words)


@contextmanager
def awaited(words: str, console: Console) -> Iterator[None]:
    """The time that something takes whose parts are not known; it goes away at the end."""
    progress = Progress(
        SpinnerColumn(),
        _What(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        refresh_per_second=REFRESHES,
        disable=not console.is_terminal,
    )
    with progress:
        progress.add_task("", total=None, what=words)
        yield
