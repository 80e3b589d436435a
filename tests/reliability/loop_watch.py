"""How long the event loop of a server process is busy with one thing, in seconds of its own CPU time.

Wall time says what a client feels; this says whose fault it is, whatever else the machine does.
"""

import asyncio
import gc
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NUM_WORST: Final = 5
ANSWERING: Final = "RequestResponseCycle.run_asgi"  # uvicorn's, of any route
LOADED: Final = "Lifecycle._on_loaded"  # the last turn of a start; only then is there a promise


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """`worst`: the longest turns and what they were, without Python's searches for garbage: any thread may have to make
    one, and it takes the longer the more is alive. `longest_search` is the longest of those.
    """

    num_turns: int
    seconds: float
    worst: tuple[tuple[float, str], ...]
    longest_search: float

    @property
    def words(self) -> str:
        longest, name = self.worst[0]
        return (
            f"event loop: {self.num_turns} turns, {self.seconds:.2f} s of CPU, longest {longest * 1000:.1f} ms"
            f" ({name}), longest search for garbage {self.longest_search * 1000:.1f} ms"
        )


class LoopWatch:
    """Measures every turn of this process's loop from now on. For a server's process: it cannot be undone."""

    def __init__(self) -> None:
        self._num_turns = 0
        self._seconds = 0.0
        self._worst: list[tuple[float, str]] = []
        self._searched = self._longest_search = 0.0  # for garbage: in this turn, and the longest of all turns
        self._search_began = 0.0
        gc.callbacks.append(self._on_search)
        run = asyncio.Handle._run

        def timed(handle: Any) -> None:
            self._searched = 0.0
            started, name = time.thread_time(), _name(handle)
            run(handle)
            self._note(time.thread_time() - started - self._searched, name)
            self._longest_search = max(self._longest_search, self._searched)
            if name == LOADED:
                self._num_turns, self._seconds, self._worst, self._longest_search = 0, 0.0, [], 0.0

        asyncio.Handle._run = timed  # type: ignore[method-assign]

    def _on_search(self, phase: str, _: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if phase == "start":
            self._search_began = time.thread_time()
        else:
            self._searched += time.thread_time() - self._search_began

    def _note(self, seconds: float, name: str) -> None:
        self._num_turns += 1
        self._seconds += seconds
        if len(self._worst) < NUM_WORST or seconds > self._worst[-1][0]:
            self._worst = sorted([*self._worst, (seconds, name)], reverse=True)[:NUM_WORST]

    def write(self, path: Path) -> None:
        path.write_text(
            json.dumps([self._num_turns, self._seconds, self._worst, self._longest_search]), encoding="utf-8"
        )


def read_loop_times(path: Path) -> LoopTimes:
    num_turns, seconds, worst, search = json.loads(path.read_text(encoding="utf-8"))
    return LoopTimes(num_turns, seconds, tuple((each, name) for each, name in worst), search)


def _name(handle: Any) -> str:
    task = getattr(handle._callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        coroutine: Any = task.get_coro()
        name = str(getattr(coroutine, "__qualname__", "a task"))
        if name == ANSWERING and coroutine.cr_frame is not None:
            return f"{name} of {coroutine.cr_frame.f_locals['self'].scope['path']}"
        return name
    return str(getattr(handle._callback, "__qualname__", "a callback"))
