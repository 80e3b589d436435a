"""One admitted request, between its connections and the engine: its events, its end, its metrics."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from service.metrics import RequestMetrics
from service.record import Record
from tie_core.cost import cost_of
from tie_core.engine.deadlines import Deadline
from tie_core.engine.engine import Engine
from tie_core.errors import CancelledError, EngineClosedError
from tie_core.events import Answer, Completed, Event, Failed, RoundEnded, Started, StepTaken
from tie_core.request import Request

Cause = Literal["disconnect", "delete", "shutdown"]
Transport = Literal["json", "sse", "ndjson"]
SHUTTING_DOWN: Final = "the server is shutting down and ended this request: send it again"


@dataclass(frozen=True, slots=True)
class Caller:
    """One connection's part in a run: how the answer travels to it, and what to call when it is through."""

    record: Record
    transport: Transport
    leave: Callable[[], None]
    is_replay: bool = False  # it joined a run that another connection had begun


class Run:
    """`on_event` is the engine thread's, the rest the event loop's. Let go of at its end: the record stays.

    The connections that asked for it own it: when the last one has left, it is cancelled, unless it `goes_on`.
    """

    def __init__(
        self,
        record: Record,
        request: Request,
        *,
        goes_on: bool,
        engine: Engine,
        metrics: RequestMetrics,
        on_end: Callable[["Run"], None],
    ) -> None:
        self.id = record.id
        self.record = record
        self.request = request
        self.positions = cost_of(request).positions
        self._num_callers = 0
        self._goes_on = goes_on
        self._engine = engine
        self._metrics = metrics
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._cause: Cause | None = None
        self._told: set[type[Event]] = set()

    @property
    def is_cancelled(self) -> bool:
        """True from the moment that somebody asked for it."""
        return self._cause is not None

    def submit(self, deadline: Deadline | None) -> None:
        """Raises what `Engine.submit` raises."""
        waiting = self._metrics.waiting.labels(self.request.ensemble)
        waiting.inc()
        try:
            self._engine.submit(self.request, self.on_event, deadline)
        except Exception:
            waiting.dec()
            raise

    def cancel(self, cause: Cause) -> None:
        """Ask the engine to end this: it frees the rows and tells the end. Nothing happens after the end."""
        if self.record.end is None:
            self._cause = self._cause or cause
            self._engine.cancel(self.id)

    def join(self) -> None:
        """One more connection waits for this."""
        self._num_callers += 1

    def leave(self) -> None:
        """A connection is through with this; if it was the last one and there is no end, it left early."""
        self._num_callers -= 1
        if self._num_callers == 0 and not self._goes_on:
            self.cancel("disconnect")

    def on_event(self, event: Event) -> None:
        """From the engine's thread, in order, one terminal event last."""
        event = self._reworded(event)
        if isinstance(event, Started):
            self.record.started = time.monotonic()
        if isinstance(event, Completed | Failed):
            self.record.is_cancelled = self._cause is not None
            self.record.end = event
        try:
            self._measure(event)
        finally:  # whatever becomes of a metric, the client gets its end
            self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
        self.record.log.put(event)
        if isinstance(event, Completed | Failed):
            try:
                self.record.log.write_out()
            finally:
                self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self.record.close()
        self._on_end(self)

    def _reworded(self, event: Event) -> Event:
        """Who is cut off by a shutdown may come back."""
        if isinstance(event, Failed) and isinstance(event.error, CancelledError) and self._cause == "shutdown":
            return Failed(EngineClosedError(SHUTTING_DOWN))
        return event

    def _measure(self, event: Event) -> None:
        metrics, seconds = self._metrics, time.monotonic() - self.record.admitted
        match event:
            case Started():
                metrics.queue.observe(seconds)
                metrics.waiting.labels(self.request.ensemble).dec()
                metrics.running.labels(self.request.ensemble).inc()
            case StepTaken() | RoundEnded() | Answer():
                if not self._told & {StepTaken, RoundEnded, Answer}:
                    metrics.first_state.observe(seconds)
                if isinstance(event, Answer) and Answer not in self._told:
                    metrics.first_answer.observe(seconds)
            case Completed() | Failed():
                self._measure_end(event, seconds)
        self._told.add(type(event))

    def _measure_end(self, event: Completed | Failed, seconds: float) -> None:
        metrics, has_started = self._metrics, Started in self._told
        (metrics.running if has_started else metrics.waiting).labels(self.request.ensemble).dec()
        metrics.duration.observe(seconds)
        metrics.requests.labels(self.request.ensemble, self.record.endpoint, self.record.finish_reason).inc()
        if isinstance(event, Completed):
            metrics.relaying.observe(event.timings.transcode_ms / 1000)
            metrics.prompt_tokens.inc(event.usage.prompt_tokens)
            metrics.generated_tokens.inc(event.usage.completion_tokens)
        elif self._cause is not None:
            metrics.cancellations.labels(self._cause, "running" if has_started else "queued").inc()
