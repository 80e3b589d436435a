"""How a run is told to a person: live in a terminal, or as lines anywhere else."""

import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from service.lines import canvas_line, round_line, summary_lines, visible
from service.screen import Screen
from service.watch import WatchState
from tie_core.errors import TieError
from tie_core.events import Completed, Created, Event, Failed, RoundEnded, StepTaken

HOLD = 8  # a verdict, and then a relay, stays on screen for as long as this many steps


def watch(events: Iterable[Event], prompt: str, console: Console, pace: float) -> Completed:
    """Show the run live, a denoising step of all members every `pace` seconds at most. The last frame stays.

    Raises:
        TieError: the run failed.
    """
    state, due = WatchState(prompt), time.monotonic()
    with Live(Screen(state), console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for event in events:
            for num_steps in _frames(state, event):
                live.update(Screen(state), refresh=True)
                due = max(due + num_steps * pace, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
    return _result(state)


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
            _print(console, f"prompt: {visible(prompt)}")
        elif isinstance(event, RoundEnded):
            _print(console, round_line(event))
            _print(console, f"    {canvas_line(state, event.leader)}")
    completed = _result(state)
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
    return _result(state)


def _print(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def _result(state: WatchState) -> Completed:
    if state.failed is not None:
        raise state.failed.error
    if state.completed is None:
        raise TieError("the run ended without an answer")
    return state.completed
