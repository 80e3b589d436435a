"""A worker: the thread that owns one resident model. Every tick packs all runnable rows into one forward.

Knows jobs and batches, not rounds: rows of any request, step, length and block join and leave between ticks.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from tie_core.denoising import Denoising, Job, Step, make_job
from tie_core.engine.observer import Observer, Tick
from tie_core.errors import MemberError, TieError
from tie_core.member import Member
from tie_core.prediction import Prediction
from tie_core.request import Request
from tie_core.tie import Decode, Probe


@dataclass(frozen=True, slots=True)
class StepDone:
    """A row made a step."""

    request_id: str
    member: int
    step: Step


@dataclass(frozen=True, slots=True)
class WorkDone:
    """A row is finished: its trajectory, its prediction, or why there is none."""

    request_id: str
    index: int
    result: Any


@dataclass(frozen=True, slots=True)
class Row:
    """One job of one request on this worker's model; `index` is its place among the request's outstanding work."""

    request_id: str
    index: int
    member: int
    job: Job
    wants_steps: bool
    num_positions: int


class Worker:
    """Denoises for all requests that use one member. `deliver` may be called from any thread."""

    def __init__(
        self,
        member: Member,
        max_batch_positions: int,
        num_threads: int,
        observer: Observer,
        deliver: Callable[[StepDone | WorkDone], None],
    ) -> None:
        self.member = member
        self._num_threads = num_threads
        self.last_beat = time.monotonic()
        self._max_batch_positions = max_batch_positions
        self._observer = observer
        self._deliver = deliver
        self._waiting: deque[Row] = deque()  # guarded by _changed; the next batch is taken from the left
        self._running: list[Row] = []
        self._cancelled: set[str] = set()  # requests cancelled during the running step
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"tie-worker-{member.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: Request, index: int, work: Decode | Probe) -> None:
        """Take on one job. What needs no forward (a first step already read) is done here."""
        canvas = work.canvas
        num_positions = len(canvas.prompt) + canvas.layout.length
        job = make_job(work, request.options)
        row = Row(request.id, index, work.member, job, request.wants_steps, num_positions)
        self._advance(row, job.begin)
        if not job.is_finished:
            with self._changed:
                self._waiting.append(row)
                self._changed.notify()

    def cancel(self, request_id: str) -> None:
        """Drop the request's rows: at once where they wait, after the running step where they are in it."""
        with self._changed:
            self._waiting = deque(row for row in self._waiting if row.request_id != request_id)
            if self._running:
                self._cancelled.add(request_id)

    def close(self) -> None:
        """Stop after the running step and wait for the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def num_rows(self) -> int:
        with self._changed:
            return len(self._waiting) + len(self._running)

    def _run(self) -> None:
        torch.set_num_threads(self._num_threads)  # for this thread, and for those that use torch later
        while self._take_batch():
            self._tick(self._running)
            self._return_batch()

    def _take_batch(self) -> bool:
        """Wait for rows, then take from the left what fits the budget (always one). False when closed."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self.last_beat = time.monotonic()
                self._changed.wait(timeout=0.5)
            if self._is_closed:
                return False
            positions = 0
            while self._waiting:
                positions += self._waiting[0].num_positions
                if self._running and positions > self._max_batch_positions:
                    break
                self._running.append(self._waiting.popleft())
            return True

    def _return_batch(self) -> None:
        """Rows that go on wait at the right end, behind those that this batch had no room for."""
        with self._changed:
            self._waiting.extend(
                row for row in self._running if not row.job.is_finished and row.request_id not in self._cancelled
            )
            self._running = []
            self._cancelled.clear()

    def _tick(self, batch: Sequence[Row]) -> None:
        """One step of every row, by one forward. What goes wrong in one row ends that row's request alone."""
        self.last_beat = started = time.monotonic()
        predictions = self.member.predict([row.job.query for row in batch])
        for row, prediction in zip(batch, predictions, strict=True):
            self._advance(row, partial(_accept, row.job, prediction))
        with suppress(Exception):  # whoever measures may fail; the model's thread may not
            self._observer.on_tick(_measure(self.member.name, batch, time.monotonic() - started))

    def _advance(self, row: Row, act: Callable[[], Step | None]) -> None:
        try:
            step = act()
        except TieError as error:
            self._fail(row, error)
            return
        except Exception as error:  # a bug in one row's data must not end the worker
            with suppress(Exception):
                self._observer.on_bug(error)
            self._fail(row, MemberError(f"model {self.member.name} failed in a step: {type(error).__name__}"))
            return
        if step is not None and row.wants_steps:
            self._deliver(StepDone(row.request_id, row.member, step))
        if row.job.is_finished:
            self._deliver(WorkDone(row.request_id, row.index, row.job.result))

    def _fail(self, row: Row, error: TieError) -> None:
        with self._changed:
            self._cancelled.add(row.request_id)
        self._deliver(WorkDone(row.request_id, row.index, error))


def _accept(job: Job, prediction: Prediction | MemberError) -> Step | None:
    if isinstance(prediction, MemberError):
        raise prediction
    return job.accept(prediction)


def _measure(member: str, batch: Sequence[Row], seconds: float) -> Tick:
    decoding = [row.num_positions for row in batch if isinstance(row.job, Denoising)]
    scoring = [row.num_positions for row in batch if not isinstance(row.job, Denoising)]
    return Tick(member, len(decoding), len(scoring), sum(decoding), sum(scoring), seconds)
