"""When a cancelled run was over and its rows were gone from the workers, told by what the engine itself does."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import service.run
from tie_core.engine.worker import Worker
from tie_core.events import Completed, Event, Failed


@dataclass
class ReleaseWatch:
    """Times of one monotonic clock, by a run's id; `steps` and `lags` are intervals."""

    asked: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    freed: dict[tuple[int, str], float] = field(default_factory=dict)
    steps: list[tuple[float, float]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)  # from when a thread should have run until it did
    _held: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def waits(self) -> list[tuple[float, float]]:
        """Of each run: seconds from the disconnect to its end and its rows' end, and the longest step meanwhile."""
        assert not any(self._held.values()), "rows are left"
        found = []
        for run_id, asked in self.asked.items():
            over = max([self.ended[run_id], *(at for (_, one), at in self.freed.items() if one == run_id)])
            longest = max((end - start for start, end in self.steps if start < over and end > asked), default=0.0)
            found.append((max(0.0, over - asked), longest))
        return found

    def note_cancel(self, worker: Worker, run_id: str) -> None:
        with worker._changed:
            self._held[id(worker)].add(run_id)
            self.note_rows(worker)

    def note_rows(self, worker: Worker) -> None:
        """In the worker's thread or with its lock."""
        if not (pending := self._held[id(worker)]):
            return
        with worker._changed:
            here = {row.request_id for row in worker._running}
        for run_id in pending - here:
            self.freed[id(worker), run_id] = time.monotonic()
            pending.discard(run_id)

    def lag(self, is_over: threading.Event) -> None:
        while not is_over.is_set():
            due = time.monotonic() + 0.005
            time.sleep(0.005)
            self.lags.append((due, time.monotonic()))


@contextmanager
def watching_releases(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseWatch]:
    watch, is_over = ReleaseWatch(), threading.Event()
    cancel_run, hear = service.run.Run.cancel, service.run.Run.on_event
    cancel_rows, keep, regroup, tick = Worker.cancel, Worker._keep, Worker._regroup, Worker._tick

    def on_cancel(run: service.run.Run, cause: Any) -> None:
        if cause == "disconnect" and run.record.end is None:
            watch.asked.setdefault(run.id, time.monotonic())
        cancel_run(run, cause)

    def on_event(run: service.run.Run, event: Event) -> None:
        if isinstance(event, Completed | Failed):
            watch.ended[run.id] = time.monotonic()
        hear(run, event)

    def on_cancel_rows(worker: Worker, run_id: str) -> None:
        cancel_rows(worker, run_id)
        watch.note_cancel(worker, run_id)

    def on_keep(worker: Worker, rows: Any) -> None:
        keep(worker, rows)
        watch.note_rows(worker)

    def on_regroup(worker: Worker, *given: Any) -> bool:
        is_any = regroup(worker, *given)
        watch.note_rows(worker)
        return is_any

    def on_tick(worker: Worker, *given: Any) -> None:
        started = time.monotonic()
        tick(worker, *given)
        watch.steps.append((started, time.monotonic()))

    monkeypatch.setattr(service.run.Run, "cancel", on_cancel)
    monkeypatch.setattr(service.run.Run, "on_event", on_event)
    for name, wrapped in (("cancel", on_cancel_rows), ("_keep", on_keep), ("_regroup", on_regroup), ("_tick", on_tick)):
        monkeypatch.setattr(Worker, name, wrapped)
    lagging = threading.Thread(target=watch.lag, args=(is_over,))
    lagging.start()
    try:
        yield watch
    finally:
        is_over.set()
        lagging.join()
