"""A worker: the thread that owns one resident model. Every tick packs the runnable rows into one forward.

Knows jobs and batches, not rounds: rows of any request, step, length and block join and leave between ticks. As long
as none does, a tick does nothing row by row. Whether the thread is well is its post's business (`supervision.py`).
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

import torch

from tie_core.denoising import make_job
from tie_core.engine.backlog import Backlog, Row
from tie_core.engine.batch import Batch
from tie_core.engine.budget import Budget, load_of
from tie_core.engine.delivery import StepDone, WorkDone, ended
from tie_core.engine.devices import own_stream
from tie_core.engine.observer import Observer, Tick
from tie_core.engine.reading import Reader, Record
from tie_core.engine.row_state import Ints, state_of
from tie_core.engine.warm_up import Allowance, WarmUp, warm_up
from tie_core.errors import InternalError, LossReason, MemberError, OutOfMemoryError
from tie_core.lost import Lost
from tie_core.member import Member
from tie_core.request import Request
from tie_core.tie import Decode, Probe

PATIENCE: Final = 20
"""A tick that takes so many times what it should, as the model was measured, is not slow but stuck."""
CLOSING_SECONDS: Final = 5.0
"""How long the end of a running step is waited for; a thread that hangs for good is left behind."""


class Worker:
    """Denoises for all requests that use one member. `deliver` may be called from any thread, and returns at once.

    `warmed` is what an earlier worker of the same member learned; without it the thread begins by learning it.
    """

    def __init__(
        self,
        member: Member,
        allowance: Allowance,
        observer: Observer,
        deliver: Callable[[StepDone | WorkDone], None],
        warmed: WarmUp | None = None,
    ) -> None:
        self.member = member
        self.last_beat = time.monotonic()
        self.record = Record()
        self._device = torch.device(member.model.device)
        self._pool = member.model.key_values
        self._most_kept = warmed.max_kept_positions if warmed else 0  # positions in it
        self._allowance = allowance
        self._observer = observer
        self._deliver_at_once = deliver
        self._known = warmed
        self._warmed: Future[WarmUp] = Future()
        self._busy_since: float | None = None
        self._expected_seconds = 0.0  # of the running tick
        self._backlog = Backlog()  # guarded by _changed
        self._running: list[Row] = []  # guarded by _changed
        self._batch: Batch | None = None  # of those rows, and of those that left since
        self._cancelled: set[str] = set()  # requests cancelled during the running step
        self._changed = threading.Condition()
        self._is_closed = False
        self._is_retired = False  # guarded by _changed
        self._thread = threading.Thread(target=self._run, name=f"tie-worker-{member.name}", daemon=True)

    def start(self) -> None:
        """Start the thread. Rows may be handed out from now on; they wait until the model is warm, which counts as one
        long tick: a start may hang or fail as a forward may.
        """
        self._busy_since = time.monotonic()
        self._thread.start()

    def wait_until_warm(self) -> WarmUp:
        """Raises:
        PlacementError: the device has no memory left to run the model.
        """
        return self._warmed.result()

    @property
    def is_warm(self) -> bool:
        return self._warmed.done() and self._warmed.exception() is None

    def trouble(self, now: float, stall_seconds: float) -> LossReason | None:
        """What is wrong with the thread or its model, if anything is."""
        since = self._busy_since
        if since is not None and now - since > max(stall_seconds, PATIENCE * self._expected_seconds):
            return "stalled"
        if self.record.is_failing:
            return "down"
        return None if self.is_alive else "died"

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def retire(self, reason: LossReason) -> None:
        """Lose all rows, and from now on whatever the thread still does: it may wake up at any time."""
        with self._changed:
            for row in self._running:
                self._deliver_at_once(ended(row, Lost(reason, is_suspect=reason != "down")))
            for row in self._backlog.take_all():
                self._deliver_at_once(ended(row, Lost(reason)))
            self._running, self._batch = [], None
            self._is_retired = self._is_closed = True
            self._changed.notify()
        self.member.model.lanes.close()

    def let_go(self) -> None:
        """The thread has ended: give back what its last forward kept, since nobody else uses this pool."""
        self._batch = None
        self._pool.take_back()

    def submit(self, request: Request, index: int, work: Decode | Probe) -> None:
        """Take on one job. What needs no forward (a first step already read) is done here."""
        try:
            row = self._begin(request, index, work)
        except Exception as error:  # a bug in one row's data must not end the others
            self._deliver(WorkDone(request.id, index, self._as_lost(error)))
            return
        if row is not None:
            with self._changed:
                self._backlog.put(row)
                self._changed.notify()

    def _begin(self, request: Request, index: int, work: Decode | Probe) -> Row | None:
        job = make_job(work, request.options)
        if job.cache is not None and not job.cache.kept.is_promised(self._pool, len(job.canvas.ids), self._most_kept):
            job.cache = None  # no room to keep anything: read the canvas whole
        step = job.begin()
        if step is not None and request.wants_steps:
            self._deliver(StepDone(request.id, work.member, step))
        if job.is_finished:
            self._deliver(WorkDone(request.id, index, job.result))
            return None
        load = load_of(len(job.canvas.ids), len(job.canvas.watched))
        return Row(request.id, index, work.member, job, request.wants_steps, load, state_of(job))

    def cancel(self, request_id: str) -> None:
        """Drop the request's rows: at once where they wait, after the running step where they are in it."""
        with self._changed:
            self._backlog.drop(request_id)
            if self._running:
                self._cancelled.add(request_id)

    def close(self) -> None:
        """Stop after the running step and wait for the thread, but not for good."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(max(CLOSING_SECONDS, 2 * self._expected_seconds))

    @property
    def num_rows(self) -> int:
        with self._changed:
            return len(self._backlog) + len(self._running)

    def _run(self) -> None:
        try:
            with own_stream(self._device):
                warmed = self._warm_up()
                self._most_kept = warmed.max_kept_positions
                self._busy_since = None
                self._warmed.set_result(warmed)
                self._serve(warmed.budget(self._allowance.tick_seconds))
        except BaseException as error:  # whatever ends the thread: its post sees that it has ended
            if not self._warmed.done():
                self._warmed.set_exception(error)
                return
            with suppress(Exception):
                kind = type(error).__name__
                self._observer.on_bug(InternalError(f"{kind} ended the thread of {self.member.name}"))

    def _warm_up(self) -> WarmUp:
        if self._known is None:
            return warm_up(self.member, self._allowance)
        torch.set_num_threads(self._known.num_threads)
        self.member.model.lanes.open(self._known.num_lanes, self._known.num_threads)
        return self._known

    def _serve(self, budget: Budget) -> None:
        reader = Reader(self.member, budget, self._observer, lambda: self._is_retired)
        while self._wait_for_rows():
            self._busy_since = time.monotonic()
            try:
                if self._goes_on(budget) or self._regroup(budget, reader):
                    self._tick(reader, budget)
            except Exception as error:  # a bug: it must not end the worker
                if not self._is_retired:
                    self._end_all(self._as_lost(error))
            finally:
                self._busy_since = None

    def _deliver(self, done: StepDone | WorkDone) -> None:
        """Nothing, once retired: these rows were lost then."""
        with self._changed:
            if not self._is_retired:
                self._deliver_at_once(done)

    def _wait_for_rows(self) -> bool:
        """False when closed."""
        with self._changed:
            if self._cancelled:
                self._keep([row for row in self._running if row.request_id not in self._cancelled])
                self._cancelled.clear()
            while not (self._backlog or self._running or self._is_closed):
                self._pool.take_back()
                self.last_beat = time.monotonic()
                self._changed.wait(timeout=0.5)
            return not self._is_closed

    def _keep(self, rows: list[Row]) -> None:
        self._running = rows
        if not rows:
            self._batch = None  # nobody goes on from it, and it holds places in the pool of keys and values

    def _goes_on(self, budget: Budget) -> bool:
        """Whether nobody joined or left the last batch, and its next forward fits the budget too."""
        batch = self._batch
        if batch is None or self._backlog or len(self._running) < len(batch.rows):
            return False
        return len(batch.rows) == 1 or budget.has_room_for(batch.load)

    def _regroup(self, budget: Budget, reader: Reader) -> bool:
        """Take as many rows as fit the budget: this is where they join and leave. Whether there are any."""
        if self._batch is not None:
            self._batch.park()
            self._batch = None
        with self._changed:
            self._backlog.put_back([row for row in self._running if row.request_id not in self._cancelled])
            self._cancelled.clear()
            self._running = self._backlog.take(budget)
        try:
            self._batch = Batch(self._running, self.member) if self._running else None
        except torch.OutOfMemoryError:
            self._shrink(reader)
        return self._batch is not None

    def _shrink(self, reader: Reader) -> None:
        """Not even the ids of these rows fit beside the rest: fewer of them next time; only a lone row fails."""
        num_positions = sum(row.load.num_positions for row in self._running)
        reader.note_out_of_memory(num_positions)
        if len(self._running) == 1:
            self._end_all(Lost.of(OutOfMemoryError.of_canvas(self.member.name, self._device, num_positions)))

    def _tick(self, reader: Reader, budget: Budget) -> None:
        """One step of every row, by one forward. What goes wrong in one row is lost to that row's request alone."""
        assert self._batch is not None
        batch = self._batch
        self.last_beat = started = time.monotonic()
        self._expected_seconds = budget.costs.seconds(batch.load)
        num_read = batch.num_read
        told = reader.read(batch)
        batch.step(told.columns)
        self.record.note(batch, told.errors)
        self._settle(batch, told.errors)
        if self._is_retired:
            return
        with suppress(Exception):  # whoever measures may fail; the model's thread may not
            self._observer.on_tick(_measure(self.member.name, batch, num_read, time.monotonic() - started))

    def _settle(self, batch: Batch, errors: Mapping[int, MemberError]) -> None:
        """Let go of the rows that are finished or failed, and tell what there is to tell."""
        is_finished = batch.is_finished
        told: list[StepDone | WorkDone] = []
        for number in (is_finished | batch.is_told).nonzero()[0].tolist():
            if number not in errors:
                told += self._catch_up(batch, number, is_finished=bool(is_finished[number]))
        told += [ended(batch.rows[number], Lost.of(error)) for number, error in errors.items()]
        gone = {(done.request_id, done.index) for done in told if isinstance(done, WorkDone)}
        with self._changed:  # at once: a worker that retires meanwhile has either told of a row or still has it
            if gone and not self._is_retired:
                self._keep([row for row in self._running if (row.request_id, row.index) not in gone])
            for done in told:
                self._deliver(done)

    def _catch_up(self, batch: Batch, number: int, *, is_finished: bool) -> Iterator[StepDone | WorkDone]:
        row = batch.rows[number]
        try:
            step = batch.catch_up(number)
            if step is not None and row.wants_steps:
                yield StepDone(row.request_id, row.member, step)
            if is_finished:
                yield ended(row, row.job.result)
        except Exception as error:  # a bug in one row's data must not end the others
            yield ended(row, self._as_lost(error))

    def _as_lost(self, error: Exception) -> Lost:
        if isinstance(error, MemberError):
            return Lost.of(error)
        with suppress(Exception):
            self._observer.on_bug(error)
        return Lost.of(MemberError(f"model {self.member.name} failed in a step: {type(error).__name__}"))

    def _end_all(self, lost: Lost) -> None:
        with self._changed:
            rows, self._running, self._batch = self._running, [], None
            for row in rows:
                self._deliver(ended(row, lost))


def _measure(member: str, batch: Batch, num_read: Ints, seconds: float) -> Tick:
    is_decoding = batch.is_decoding
    num_decoding = int(is_decoding.sum())
    num_decoded = int(num_read[is_decoding].sum())
    num_scoring, num_scored = len(is_decoding) - num_decoding, int(num_read.sum()) - num_decoded
    return Tick(member, num_decoding, num_scoring, num_decoded, num_scored, seconds)
