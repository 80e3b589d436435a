"""One admitted request, between its connection and the engine: its events, its end, its metrics."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal

from service.mailbox import Mailbox
from service.metrics import RequestMetrics
from tie_core.engine.engine import Engine
from tie_core.errors import CancelledError, EngineClosedError
from tie_core.events import Answer, Completed, Event, Failed, RoundEnded, Started, StepTaken
from tie_core.request import Request

Cause = Literal["disconnect", "shutdown"]
SHUTTING_DOWN: Final = "the server is shutting down and ended this request: send it again"


class Run:
    """`on_event` is the engine thread's, the rest the event loop's. No `mailbox`: only the end is wanted."""

    mailbox: Mailbox | None = None

    def __init__(
        self,
        request: Request,
        transport: str,
        endpoint: str,
        engine: Engine,
        metrics: RequestMetrics,
        on_end: Callable[["Run"], None],
    ) -> None:
        self.id = request.id
        self.request = request
        self.transport = transport
        self.endpoint = endpoint
        self.end: Completed | Failed | None = None
        self.queue_seconds: float | None = None
        self._engine = engine
        self._metrics = metrics
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._has_ended = asyncio.Event()
        self._submitted = time.monotonic()
        self._cause: Cause | None = None
        self._told: set[type[Event]] = set()

    def submit(self) -> None:
        """Raises what `Engine.submit` raises."""
        waiting = self._metrics.waiting.labels(self.request.ensemble)
        waiting.inc()
        try:
            self._engine.submit(self.request, self.on_event)
        except Exception:
            waiting.dec()
            raise

    def cancel(self, cause: Cause) -> None:
        """Ask the engine to end this: it frees the rows and tells the end. Nothing happens after the end."""
        if self.end is None:
            self._cause = self._cause or cause
            self._engine.cancel(self.id)

    def release(self) -> None:
        """The connection is through with this request: without an end it left early."""
        self.cancel("disconnect")

    async def ended(self) -> Completed | Failed:
        await self._has_ended.wait()
        assert self.end is not None
        return self.end

    def on_merge(self, num_merged: int) -> None:
        self._metrics.merged.labels(self.endpoint).inc(num_merged)

    def on_event(self, event: Event) -> None:
        """From the engine's thread, in order, one terminal event last."""
        event = self._reworded(event)
        try:
            self._measure(event)
        finally:  # whatever becomes of a metric, the client gets its end
            self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
        if isinstance(event, Completed | Failed):
            self.end = event
        if self.mailbox is not None:
            self.mailbox.put(event)
        if isinstance(event, Completed | Failed):
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self._has_ended.set()
        self._on_end(self)

    def _reworded(self, event: Event) -> Event:
        """Who is cut off by a shutdown may come back."""
        if isinstance(event, Failed) and isinstance(event.error, CancelledError) and self._cause == "shutdown":
            return Failed(EngineClosedError(SHUTTING_DOWN))
        return event

    def _measure(self, event: Event) -> None:
        metrics, seconds = self._metrics, time.monotonic() - self._submitted
        match event:
            case Started():
                self.queue_seconds = seconds
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
        metrics.requests.labels(self.request.ensemble, self.endpoint, self.finish_reason(event)).inc()
        if isinstance(event, Completed):
            metrics.relaying.observe(event.timings.transcode_ms / 1000)
            metrics.prompt_tokens.inc(event.usage.prompt_tokens)
            metrics.generated_tokens.inc(event.usage.completion_tokens)
        elif self._cause is not None:
            metrics.cancellations.labels(self._cause, "running" if has_started else "queued").inc()

    def finish_reason(self, event: Completed | Failed) -> str:
        if isinstance(event, Completed):
            return event.finish_reason
        return "cancelled" if self._cause is not None else "error"
