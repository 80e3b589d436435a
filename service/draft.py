"""One answer of a chat as it comes about: on a terminal the text condensing, anywhere else what is settled of it.

What models wrote is data: it is never read as markup, and its control characters are made visible.
"""

import time
from collections.abc import Iterable
from typing import Final, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from service.lines import MASK, plain, rounds_text
from service.watch import REGIONS, WatchState
from tie_core.errors import TieError
from tie_core.events import Completed, Event, RoundEnded

FRAME_SECONDS: Final = 0.05  # between two frames at least


class Draft:
    """The whole text of the moment: the last leader's canvas, what is settled of it undimmed."""

    def __init__(self, state: WatchState) -> None:
        self._state = state

    @property
    def text(self) -> str:
        """Up to the last committed token, with a mark for every mask before it."""
        state = self._state
        if state.created is None:
            return ""
        leader = state.rounds[-1].leader if state.rounds else next(iter(state.views))
        cells = [cell for name in REGIONS for cell in state.views[leader].region(name).cells]
        num_reasoning = len(state.views[leader].reasoning.cells)
        last = max((index for index, cell in enumerate(cells) if cell is not None), default=-1)
        pieces = [MASK if cell is None else cell.text for cell in cells[: last + 1]]
        if last >= num_reasoning:
            pieces.insert(num_reasoning, str(state.created.options.get("suffix", "")))
        return "".join(pieces)

    @property
    def settled(self) -> str:
        return "".join(ended.settled for ended in self._state.rounds)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        settled, text = self.settled, self.text
        shown = Text(plain(settled.lstrip()))
        rest = text[len(settled) :] if text.startswith(settled) else ""
        shown.append(plain(rest if settled else rest.lstrip()), "dim")
        masked = next((view.masked_left for view in self._state.views.values()), None)
        facts = "waiting" if masked is None else f"{rounds_text(len(self._state.rounds))} so far · {masked} masked"
        lines = shown.wrap(console, max(options.max_width, 1), overflow="fold")
        yield from lines[-max(console.height - 2, 1) :]
        yield Text(facts, "dim italic", no_wrap=True, overflow="ellipsis")


def show_draft(events: Iterable[Event], console: Console) -> Completed:
    """Show the text while it comes about; at the end nothing of that is left on the screen.

    Raises:
        TieError: the run failed.
    """
    state, shown_at = WatchState(), 0.0
    with Live(Draft(state), console=console, auto_refresh=False, transient=True) as live:
        for event in events:
            state.apply(event)
            if time.monotonic() - shown_at >= FRAME_SECONDS:
                shown_at = time.monotonic()
                live.refresh()
    return completed_of(state)


def stream_text(events: Iterable[Event], out: TextIO) -> Completed:
    """Write what is settled as soon as it is, then the rest and a line's end.

    Raises:
        TieError: the run failed.
    """
    state, written = WatchState(), ""
    for event in events:
        state.apply(event)
        if isinstance(event, RoundEnded) and event.settled:
            _write(out, written, event.settled)
            written += event.settled
    completed = completed_of(state)
    _write(out, written, completed.text[len(written) :] + "\n")
    return completed


def _write(out: TextIO, before: str, text: str) -> None:
    """Without the space at the beginning, which belongs to the prompt's template."""
    out.write(text if before.strip() else text.lstrip(" "))
    out.flush()


def completed_of(state: WatchState) -> Completed:
    """What the events came to.

    Raises:
        TieError: the run failed, or broke off.
    """
    if state.failed is not None:
        raise state.failed.error
    if state.completed is None:
        raise TieError("the run ended without an answer: ask again")
    return state.completed
