"""How a run is told to a person: live in a terminal, or as lines anywhere else."""

import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from service.draft import completed_of
from service.lines import canvas_line, round_line, summary_lines, visible
from service.screen import Screen
from service.watch import WatchState
from tie_core.events import Completed, Created, Event, Failed, RoundEnded, StepTaken

HOLD: Final = 8  # a verdict, and then a relay, stays on screen for as long as this many steps
FRAME_SECONDS: Final = 1 / 30  # between two frames at least
LATE_SECONDS: Final = 0.25  # between two frames at most, and how far the display may be behind its pace


def watch(events: Iterable[Event], prompt: str, console: Console, pace: float) -> Completed:
    """Show the run live, a denoising step of all members every `pace` seconds at most. The last frame stays.

    On the terminal's other screen: frames are written over each other, so nothing flickers, resizing leaves no
    pieces, and a run that is broken off leaves the terminal as it was. What the eye cannot follow is not drawn.

    Raises:
        TieError: the run failed.
    """
    state = WatchState(prompt)
    with _orderly_end(), Live(Screen(state), console=console, screen=True, auto_refresh=False) as live:
        due = drawn = time.monotonic()
        for event in events:
            for num_steps in _frames(state, event):
                now, due = time.monotonic(), due + num_steps * pace
                age = now - drawn
                if num_steps >= 1 or age >= LATE_SECONDS or (age >= FRAME_SECONDS and due >= now):
                    live.update(Screen(state), refresh=True)
                    drawn = time.monotonic()
                due = max(due, time.monotonic() - LATE_SECONDS)
                time.sleep(max(0.0, due - time.monotonic()))
    console.print(Screen(state))
    return completed_of(state)


@contextmanager
def _orderly_end() -> Iterator[None]:
    """SIGTERM ends the program as an exception does: whoever holds the terminal gives it back."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _frames(state: WatchState, event: Event) -> Iterator[float]:
    """Apply an event and yield whenever there is something new to see: for how many steps it should stay."""
    state.apply(event)
    if isinstance(event, StepTaken):
        yield 1 / max(len(state.views), 1)
    elif isinstance(event, RoundEnded):
        yield HOLD
        state.relay()
        yield HOLD
    elif isinstance(event, Created):
        yield HOLD
    elif isinstance(event, Completed | Failed):
        yield 0


def tell(events: Iterable[Event], prompt: str, console: Console) -> Completed:
    """Print the run as lines: the leader's canvas after every round, then the answer.

    Raises:
        TieError: the run failed.
    """
    state = WatchState(prompt)
    for event in events:
        state.apply(event)
        if isinstance(event, Created):
            _print(console, f"{event.ensemble}: {', '.join(model.id for model in event.models)}")
            if prompt:
                _print(console, f"prompt: {visible(prompt)}")
        elif isinstance(event, RoundEnded):
            _print(console, round_line(event))
            _print(console, f"    {canvas_line(state, event.leader)}")
    completed = completed_of(state)
    for line in (f"answer: {visible(completed.answer)}", *summary_lines(completed)):
        _print(console, line)
    return completed


def tell_rounds(events: Iterable[Event], console: Console | None) -> Completed:
    """Print a line for every round to `console`, if there is one.

    Raises:
        TieError: the run failed.
    """
    state = WatchState()
    for event in events:
        state.apply(event)
        if console is not None and isinstance(event, RoundEnded):
            _print(console, round_line(event))
    return completed_of(state)


def _print(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)
