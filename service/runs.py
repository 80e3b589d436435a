"""Admission and the requests that run: prepared off the event loop, submitted, cancelled, forgotten.

The engine owns the slots: what is here only asks it to cancel. What says nothing is the event loop's.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from service.admission import Admission, Place
from service.claims import Claim, Claims, Once
from service.errors import ApiError, api_error
from service.event_log import EventLog
from service.kept import Kept
from service.loading import Loaded
from service.metrics import RequestMetrics
from service.prepared import Parse, Prepared, prepare
from service.quotas import Holder
from service.record import Record
from service.run import Caller, Run, Transport
from service.settings import Settings
from service.turns import Turns
from tie_core.canvas import Canvas
from tie_core.errors import EngineClosedError, OverloadedError
from tie_core.events import Completed

NUM_TOKENISERS: Final = 2
LOGS_A_TURN: Final = 16  # whose readers are woken in one turn of the event loop
CANCEL_SECONDS: Final = 5.0  # in which the engine's thread is sure to have heard of it
T = TypeVar("T")


class Runs:
    """Admits requests while open, and knows every one that the engine has not ended, and those that ended lately."""

    def __init__(self, settings: Settings, metrics: RequestMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._loaded: Loaded | None = None
        self._is_draining = False
        self._live: dict[str, Run] = {}
        limits = settings.limits
        self._claims = Claims()
        self._turns = Turns(LOGS_A_TURN)
        self._kept = Kept(limits.kept_seconds, limits.max_kept_runs, limits.max_kept_bytes, self._claims.release)
        self._admission = Admission(limits, self._live)
        self._tokenisers = ThreadPoolExecutor(NUM_TOKENISERS, thread_name_prefix="tie-tokenise")

    def open(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def shut(self) -> None:
        """Admit nothing more."""
        self._is_draining = True

    def close(self) -> None:
        self._tokenisers.shutdown(wait=False)
        self._kept.close()

    def __len__(self) -> int:
        """Requests that hold a place: those being tokenised and those that the engine has not ended."""
        return len(self._live) + self.num_preparing

    @property
    def num_preparing(self) -> int:
        return self._admission.num_preparing

    @property
    def is_open(self) -> bool:
        return self._loaded is not None and not self._is_draining

    def take_place(self, holder: Holder) -> Place:
        """For a request that is on its way here.

        Raises:
            ApiError: 503 without a free one, 429 beyond the holder's quota.
        """
        return self._admission.take(holder)

    def cancel_all(self) -> None:
        """At shutdown: every stream gets its terminal event."""
        for run in self._live.values():
            run.cancel("shutdown")

    def put_canvases(self, request_id: str, canvases: tuple[Canvas, ...]) -> None:
        """From the engine's thread: a relay, for the snapshots of a stream."""
        run = self._live.get(request_id)
        if run is not None:
            run.record.log.put_canvases(canvases)

    def check_open(self) -> Loaded:
        """Raises:
        ApiError: 503 while loading or draining.
        """
        if self._is_draining:
            raise self._unavailable("draining", "the server is shutting down: try another one")
        return self.check_loaded()

    def check_loaded(self) -> Loaded:
        """What is there to be told of, also while draining.

        Raises:
            ApiError: 503 while loading.
        """
        if self._loaded is None:
            raise self._unavailable("loading", "the models are still loading: try again soon")
        return self._loaded

    async def admit(
        self,
        parse: Parse,
        accept: str,
        request_id: str,
        endpoint: str,
        owner: str | None = None,
        once: Once | None = None,
    ) -> Caller:
        """A running request for what `parse` gives, or the one that claimed `once` before.

        Raises:
            ApiError: 400, 404, 409, 429 or 503.
        """
        self._check_admission()
        if once is None:
            return await self._admit_anew(parse, accept, request_id, endpoint, owner, None)
        if (claim := self._standing_claim(once)) is not None:
            return await self._join(claim, accept)
        self._claims.put(once)
        try:
            caller = await self._admit_anew(parse, accept, request_id, endpoint, owner, once.key)
        except BaseException as error:
            self._claims.fail(once, error)
            raise
        self._claims.fulfil(once, caller.record)
        return caller

    def find(self, run_id: str, owner: str | None) -> Record:
        """A run that its owner asks for.

        Raises:
            ApiError: 404, also where it is somebody else's.
        """
        run = self._live.get(run_id)
        record = run.record if run is not None else self._kept.get(run_id)
        if record is None or record.owner != owner:
            message = "there is no such request: it is unknown, or it ended too long ago"
            raise ApiError(404, "request_not_found", message)
        return record

    async def cancel(self, record: Record) -> None:
        """End a run because its owner says so, and wait for its end; nothing happens to one that has ended."""
        if (run := self._live.get(record.id)) is not None:
            run.cancel("delete")
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await record.wait()

    def _standing_claim(self, once: Once) -> Claim | None:
        """Not that of a run that is being cancelled: there will be no answer to join."""
        claim = self._claims.find(once)
        if claim is not None and claim.record.done():
            run = self._live.get(claim.record.result().id)
            if run is not None and run.is_cancelled:
                self._claims.release(run.record)
                return None
        return claim

    async def _join(self, claim: Claim, accept: str) -> Caller:
        """No work but the transport's, so no place is taken; a request it is all the same."""
        with self._counted():
            self._admission.count()
        record = await asyncio.shield(claim.record)
        run = self._live.get(record.id)
        if run is not None:
            run.join()
        leave = run.leave if run is not None else _nothing
        return Caller(record, _transport(record.stream, accept), leave, is_replay=True)

    async def _admit_anew(
        self, parse: Parse, accept: str, request_id: str, endpoint: str, owner: str | None, claim: str | None
    ) -> Caller:
        admitted, loaded = time.monotonic(), self.check_loaded()
        with self._counted(), self._admission.place() as holder:
            prepared = await self._in_thread(lambda: prepare(parse, loaded, self._settings, request_id, holder.name))
            log = EventLog(prepared.request, self._settings.limits.max_kept_states, self._turns)
            record = Record(request_id, owner, endpoint, prepared.request.ensemble, log, claim, admitted)
            record.stream, record.asked = prepared.stream, prepared.asked
            run = self._submit(record, prepared, holder)
        return Caller(record, _transport(record.stream, accept), run.leave)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """In a tokenising thread.

        Raises:
            ApiError: whatever goes wrong there, worded by the one table.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._tokenisers, work)
        except Exception as error:
            raise api_error(error) from error

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """What refuses a request for reasons of its own is counted by its reason; a bad request is not."""
        try:
            yield
        except ApiError as error:
            if error.status in (429, 503):
                self._metrics.rejections.labels(error.code).inc()
            raise

    def _submit(self, record: Record, prepared: Prepared, holder: Holder) -> Run:
        loaded = self.check_open()
        run = Run(
            record,
            prepared.request,
            goes_on=prepared.goes_on,
            engine=loaded.engine,
            metrics=self._metrics,
            on_end=self._forget,
        )
        self._admission.reserve(holder, run.positions)
        run.join()
        self._live[run.id] = run
        try:
            run.submit(prepared.deadline_after(time.monotonic() - record.admitted))
        except (OverloadedError, EngineClosedError) as error:
            del self._live[run.id]
            raise self._unavailable(api_error(error).code, str(error)) from None
        except Exception:
            del self._live[run.id]
            raise
        return run

    def _forget(self, run: Run) -> None:
        self._live.pop(run.id, None)
        if not isinstance(run.record.end, Completed):
            self._claims.release(run.record)
        self._kept.put(run.record)
        self._admission.note_end(run)

    def _check_admission(self) -> Loaded:
        with self._counted():
            return self.check_open()

    def _unavailable(self, reason: str, message: str) -> ApiError:
        return self._admission.unavailable(reason, message)


def _nothing() -> None:
    pass


def _transport(stream: bool | None, accept: str) -> Transport:
    """`stream: false` is an answer in one piece; else the Accept header decides where it names an event stream."""
    if stream is False:
        return "json"
    if "application/x-ndjson" in accept:
        return "ndjson"
    return "sse" if "text/event-stream" in accept or stream else "json"
