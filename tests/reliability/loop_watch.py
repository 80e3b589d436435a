"""How long the event loop of a server process is busy with one thing, in seconds of its own CPU time.

Wall time says what a client feels; this says whose fault it is, whatever else the machine does.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NUM_WORST: Final = 5
LOADED: Final = "Lifecycle._on_loaded"  # the last turn of a start; only then is there a promise


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """`worst`: the longest turns and what they were."""

    num_turns: int
    seconds: float
    worst: tuple[tuple[float, str], ...]

    @property
    def words(self) -> str:
        longest, name = self.worst[0]
        return (
            f"event loop: {self.num_turns} turns, {self.seconds:.2f} s of CPU, longest {longest * 1000:.1f} ms ({name})"
        )


class LoopWatch:
    """Measures every turn of this process's loop from now on. For a server's process: it cannot be undone."""

    def __init__(self) -> None:
        self._num_turns = 0
        self._seconds = 0.0
        self._worst: list[tuple[float, str]] = []
        run = asyncio.Handle._run

        def timed(handle: Any) -> None:
            started, name = time.thread_time(), _name(handle)
            run(handle)
            self._note(time.thread_time() - started, name)
            if name == LOADED:
                self._num_turns, self._seconds, self._worst = 0, 0.0, []

        asyncio.Handle._run = timed  # type: ignore[method-assign]

    def _note(self, seconds: float, name: str) -> None:
        self._num_turns += 1
        self._seconds += seconds
        if len(self._worst) < NUM_WORST or seconds > self._worst[-1][0]:
            self._worst = sorted([*self._worst, (seconds, name)], reverse=True)[:NUM_WORST]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps([self._num_turns, self._seconds, self._worst]), encoding="utf-8")


def read_loop_times(path: Path) -> LoopTimes:
    num_turns, seconds, worst = json.loads(path.read_text(encoding="utf-8"))
    return LoopTimes(num_turns, seconds, tuple((each, name) for each, name in worst))


def _name(handle: Any) -> str:
    task = getattr(handle._callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return str(getattr(task.get_coro(), "__qualname__", "a task"))
    return str(getattr(handle._callback, "__qualname__", "a callback"))
