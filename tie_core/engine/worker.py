"""A worker: the thread that owns one resident model. Every tick packs the runnable rows into one forward.

Knows jobs and batches, not rounds: rows of any request, step, length and block join and leave between ticks. A forward
that runs out of memory is done again in halves.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from tie_core.denoising import Denoising, Job, Step, make_job
from tie_core.engine.backlog import Backlog, Row
from tie_core.engine.budget import Budget, Load
from tie_core.engine.devices import give_memory_back, own_stream
from tie_core.engine.observer import Observer, Tick
from tie_core.engine.warm_up import Allowance, WarmUp, warm_up
from tie_core.errors import MemberError, OutOfMemoryError, TieError
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


class Worker:
    """Denoises for all requests that use one member. `deliver` may be called from any thread."""

    def __init__(
        self,
        member: Member,
        allowance: Allowance,
        observer: Observer,
        deliver: Callable[[StepDone | WorkDone], None],
    ) -> None:
        self.member = member
        self.last_beat = time.monotonic()
        self._device = torch.device(member.model.device)
        self._allowance = allowance
        self._observer = observer
        self._deliver = deliver
        self._warmed: Future[WarmUp] = Future()
        self._backlog = Backlog()  # guarded by _changed
        self._running: list[Row] = []
        self._cancelled: set[str] = set()  # requests cancelled during the running step
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"tie-worker-{member.name}", daemon=True)

    def start(self) -> WarmUp:
        """Start the thread and wait until the model is warm.

        Raises:
            PlacementError: the device has no memory left to run the model.
        """
        self._thread.start()
        return self._warmed.result()

    def submit(self, request: Request, index: int, work: Decode | Probe) -> None:
        """Take on one job. What needs no forward (a first step already read) is done here."""
        job = make_job(work, request.options)
        row = Row(request.id, index, work.member, job, request.wants_steps, Load())
        self._advance(row, job.begin)
        if not job.is_finished:
            row.load = self._load(job)
            with self._changed:
                self._backlog.put(row)
                self._changed.notify()

    def cancel(self, request_id: str) -> None:
        """Drop the request's rows: at once where they wait, after the running step where they are in it."""
        with self._changed:
            self._backlog.drop(request_id)
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
            return len(self._backlog) + len(self._running)

    def _run(self) -> None:
        try:
            with own_stream(self._device):
                warmed = warm_up(self.member, self._allowance)
                self._warmed.set_result(warmed)
                self._serve(warmed.budget(self._allowance.tick_seconds))
        except BaseException as error:
            if self._warmed.done():  # a bug: nobody waits to hear of it
                raise
            self._warmed.set_exception(error)

    def _serve(self, budget: Budget) -> None:
        while self._take_batch(budget):
            self._tick(self._running, budget)
            self._return_batch()

    def _take_batch(self, budget: Budget) -> bool:
        """Wait for rows, then take what fits the budget (always one). False when closed."""
        with self._changed:
            while not self._backlog and not self._is_closed:
                self.last_beat = time.monotonic()
                self._changed.wait(timeout=0.5)
            if self._is_closed:
                return False
            self._running = self._backlog.take(budget)
            return True

    def _return_batch(self) -> None:
        unfinished = [row for row in self._running if not row.job.is_finished]
        for row in unfinished:
            row.load = self._load(row.job)
        with self._changed:
            self._backlog.put_back(row for row in unfinished if row.request_id not in self._cancelled)
            self._running = []
            self._cancelled.clear()

    def _tick(self, batch: Sequence[Row], budget: Budget) -> None:
        """One step of every row, by one forward. What goes wrong in one row ends that row's request alone."""
        self.last_beat = started = time.monotonic()
        for row, prediction in zip(batch, self._predict(batch, budget), strict=True):
            self._advance(row, partial(_accept, row.job, prediction))
        with suppress(Exception):  # whoever measures may fail; the model's thread may not
            self._observer.on_tick(_measure(self.member.name, batch, time.monotonic() - started))

    def _predict(self, batch: Sequence[Row], budget: Budget) -> list[Prediction | MemberError]:
        """By one forward, or where the memory does not hold it, by one for each half."""
        num_positions = sum(row.load.num_positions for row in batch)
        with suppress(torch.OutOfMemoryError):  # handled below, where its traceback no longer holds the tensors
            predictions = self.member.predict([row.job.query for row in batch])
            budget.recover(num_positions)
            return predictions
        budget.shrink(num_positions)
        give_memory_back(self._device)
        with suppress(Exception):
            self._observer.on_out_of_memory(self.member.name, num_positions)
        if len(batch) == 1:
            return [OutOfMemoryError.of_canvas(self.member.name, self._device, num_positions)]
        half = len(batch) // 2
        return [*self._predict(batch[:half], budget), *self._predict(batch[half:], budget)]

    def _load(self, job: Job) -> Load:
        query = job.query
        num_positions = self.member.num_positions(query)
        return Load(num_positions, num_positions * query.length, len(query.watched))

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
    decoding = [row.load.num_positions for row in batch if isinstance(row.job, Denoising)]
    scoring = [row.load.num_positions for row in batch if not isinstance(row.job, Denoising)]
    return Tick(member, len(decoding), len(scoring), sum(decoding), sum(scoring), seconds)
