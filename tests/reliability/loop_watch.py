"""How long the turns of a server process's event loop are, in seconds of the CPU time of its thread.

Wall time says what a client feels; this says whose fault it is, whatever else the machine does. A turn is all that is
ready at once, one callback after the other: who comes meanwhile waits for all of it. Waiting for sockets takes none.
"""

import asyncio
import gc
import json
import threading
import time
from asyncio.base_events import BaseEventLoop
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NUM_WORST: Final = 5
ANSWERING: Final = "RequestResponseCycle.run_asgi"  # uvicorn's, of any route
LOADED: Final = "Lifecycle._on_loaded"  # the last turn of a start; only then is there a promise


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """`worst`: the longest turns and what they were, without Python's searches for garbage: any thread may have to make
    one, and it takes the longer the more is alive. `longest_search` is the longest of those, in whichever thread.
    """

    num_turns: int
    num_callbacks: int
    seconds: float
    worst: tuple[tuple[float, str], ...]
    longest_search: float

    @property
    def longest(self) -> float:
        return self.worst[0][0]

    @property
    def words(self) -> str:
        longest, what = self.worst[0]
        return (
            f"event loop: {self.num_turns} turns, {self.seconds:.2f} s of CPU, longest {longest * 1000:.1f} ms"
            f" ({what}), longest search for garbage {self.longest_search * 1000:.1f} ms"
        )


class LoopWatch:
    """Measures every turn of this process's loop from now on. For a server's process: it cannot be undone."""

    def __init__(self) -> None:
        self._loop_thread = threading.current_thread()
        self._search_began = 0.0
        self._start_over()
        gc.callbacks.append(self._on_search)
        run, turn = asyncio.Handle._run, BaseEventLoop._run_once  # type: ignore[attr-defined]

        def timed_run(handle: Any) -> None:
            name, started = _name(handle), self._now()
            run(handle)
            self._callbacks.append((self._now() - started, name))

        def timed_turn(loop: BaseEventLoop) -> None:
            self._callbacks.clear()
            started = self._now()
            turn(loop)
            self._note(self._now() - started)

        asyncio.Handle._run = timed_run  # type: ignore[method-assign]
        BaseEventLoop._run_once = timed_turn  # type: ignore[attr-defined]

    def _start_over(self) -> None:
        self._num_turns = self._num_callbacks = 0
        self._seconds = self._longest_search = 0.0
        self._searched = 0.0  # by the loop's thread, so far
        self._worst: list[tuple[float, str]] = []
        self._callbacks: list[tuple[float, str]] = []  # of this turn

    def _now(self) -> float:
        """The CPU time of the loop's thread without its searches for garbage."""
        return time.thread_time() - self._searched

    def _on_search(self, phase: str, _: object) -> None:
        """In the thread that searches. There is never more than one search."""
        if phase == "start":
            self._search_began = time.thread_time()
            return
        seconds = time.thread_time() - self._search_began
        self._longest_search = max(self._longest_search, seconds)
        if threading.current_thread() is self._loop_thread:
            self._searched += seconds

    def _note(self, seconds: float) -> None:
        self._num_turns += 1
        self._num_callbacks += len(self._callbacks)
        self._seconds += seconds
        if any(name == LOADED for _, name in self._callbacks):
            self._start_over()
        elif len(self._worst) < NUM_WORST or seconds > self._worst[-1][0]:
            longest, name = max(self._callbacks, default=(0.0, "nothing"))
            what = f"{len(self._callbacks)} callbacks, longest {longest * 1000:.1f} ms, {name}"
            self._worst = sorted([*self._worst, (seconds, what)], reverse=True)[:NUM_WORST]

    def write(self, path: Path) -> None:
        told = [self._num_turns, self._num_callbacks, self._seconds, self._worst, self._longest_search]
        path.write_text(json.dumps(told), encoding="utf-8")


def read_loop_times(path: Path) -> LoopTimes:
    num_turns, num_callbacks, seconds, worst, search = json.loads(path.read_text(encoding="utf-8"))
    return LoopTimes(num_turns, num_callbacks, seconds, tuple((each, what) for each, what in worst), search)


def _name(handle: Any) -> str:
    task = getattr(handle._callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        coroutine: Any = task.get_coro()
        name = str(getattr(coroutine, "__qualname__", "a task"))
        if name == ANSWERING and coroutine.cr_frame is not None:
            return f"{name} of {coroutine.cr_frame.f_locals['self'].scope['path']}"
        return name
    return str(getattr(handle._callback, "__qualname__", "a callback"))
