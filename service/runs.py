"""Admission and the requests that run: parsed, tokenised off the event loop, submitted, cancelled, forgotten.

The engine owns the slots: what is here only asks it to cancel. What says nothing is the event loop's.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from service.drain_rate import DrainRate
from service.errors import ApiError, api_error, unavailable
from service.loading import Loaded
from service.mailbox import Mailbox
from service.metrics import RequestMetrics
from service.run import Run
from service.schemas import GenerateBody
from service.settings import Settings
from tie_core.canvas import Canvas
from tie_core.errors import EngineClosedError, OverloadedError
from tie_core.options import check_effect
from tie_core.request import Request

NUM_TOKENISERS: Final = 2
Transport = Literal["json", "sse", "ndjson"]
Parse = Callable[[Loaded], GenerateBody]
"""A route's body as the native one, made in a tokenising thread. Raises ApiError."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A valid request and how its answer travels."""

    request: Request
    transport: Transport


class Runs:
    """Admits requests while open, and knows every one that the engine has not ended."""

    def __init__(self, settings: Settings, metrics: RequestMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._loaded: Loaded | None = None
        self._is_draining = False
        self._live: dict[str, Run] = {}
        self.num_preparing = 0
        self._drain_rate = DrainRate()
        self._tokenisers = ThreadPoolExecutor(NUM_TOKENISERS, thread_name_prefix="tie-tokenise")

    def open(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def shut(self) -> None:
        """Admit nothing more."""
        self._is_draining = True

    def close(self) -> None:
        self._tokenisers.shutdown(wait=False)

    def __len__(self) -> int:
        """Requests that hold a place: those being tokenised and those that the engine has not ended."""
        return len(self._live) + self.num_preparing

    def cancel_all(self) -> None:
        """At shutdown: every stream gets its terminal event."""
        for run in self._live.values():
            run.cancel("shutdown")

    def put_canvases(self, request_id: str, canvases: tuple[Canvas, ...]) -> None:
        """From the engine's thread: a relay, for the snapshots of a stream."""
        run = self._live.get(request_id)
        if run is not None and run.mailbox is not None and run.request.wants_steps:
            run.mailbox.put_canvases(canvases)

    def check_open(self) -> Loaded:
        """Raises:
        ApiError: 503 while loading or draining.
        """
        if self._is_draining:
            raise self._unavailable("draining", "the server is shutting down: try another one")
        if self._loaded is None:
            raise self._unavailable("loading", "the models are still loading: try again soon")
        return self._loaded

    async def admit(self, parse: Parse, accept: str, request_id: str, endpoint: str) -> Run:
        """A running request for what `parse` gives, or why there is none.

        Raises:
            ApiError: 400, 404 or 503.
        """
        self._check_admission()
        with self._place():
            loop = asyncio.get_running_loop()
            try:
                prepared = await loop.run_in_executor(self._tokenisers, self._prepare, parse, accept, request_id)
            except Exception as error:  # worded by the one table, whatever a tokenising thread raised
                raise api_error(error) from error
            return self._submit(prepared, endpoint)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places that running, waiting and tokenising requests share, taken before any work."""
        limits = self._settings.limits
        if len(self) >= limits.max_running + limits.max_waiting:
            raise self._refused(self._unavailable("queue_full", f"all {len(self)} places are taken: try again later"))
        self.num_preparing += 1
        try:
            yield
        finally:
            self.num_preparing -= 1

    def _prepare(self, parse: Parse, accept: str, request_id: str) -> Prepared:
        """In a tokenising thread."""
        assert self._loaded is not None
        body = parse(self._loaded)
        self._check_prompt(body)
        ensemble = self._loaded.ensembles.get(body.ensemble or self._settings.default_ensemble.name)
        if ensemble is None:
            known = ", ".join(self._loaded.ensembles)
            message = f"ensemble is one of {known}; a lone member is asked by its name in `models`"
            raise ApiError(404, "model_not_found", message, param="ensemble")
        transport = _transport(body, accept)
        request = ensemble.request(
            prompt=body.prompt,
            messages=[message.model_dump() for message in body.messages] if body.messages else None,
            models=body.models,
            request_id=request_id,
            detail=(body.events or "round") if transport != "json" else "round",
            **(asked := body.options()),
        )
        check_effect(asked, request.options)
        return Prepared(request, transport)

    def _check_prompt(self, body: GenerateBody) -> None:
        if (body.prompt is None) == (body.messages is None):
            raise ApiError(400, "invalid_prompt", "give exactly one of `messages` and `prompt`", param="messages")
        limit = self._settings.limits.max_prompt_chars
        if body.num_chars > limit:
            message = f"{body.num_chars:,} characters of prompt exceed {limit:,}: shorten it"
            raise ApiError(400, "prompt_too_long", message, param="prompt" if body.prompt else "messages")

    def _submit(self, prepared: Prepared, endpoint: str) -> Run:
        loaded = self._check_admission()
        run = Run(prepared.request, prepared.transport, endpoint, loaded.engine, self._metrics, self._forget)
        if prepared.transport != "json":
            run.mailbox = Mailbox(prepared.request, self._settings.limits.max_pending_states, run.on_merge)
        self._live[run.id] = run
        try:
            run.submit()
        except (OverloadedError, EngineClosedError) as error:
            del self._live[run.id]
            raise self._refused(self._unavailable(api_error(error).code, str(error))) from None
        except Exception:
            del self._live[run.id]
            raise
        return run

    def _forget(self, run: Run) -> None:
        self._live.pop(run.id, None)
        self._drain_rate.note_end(time.monotonic())
        if not self._live:
            self._drain_rate.note_idle()

    def _check_admission(self) -> Loaded:
        try:
            return self.check_open()
        except ApiError as error:
            raise self._refused(error) from None

    def _refused(self, error: ApiError) -> ApiError:
        self._metrics.rejections.labels(error.code).inc()
        return error

    def _unavailable(self, reason: str, message: str) -> ApiError:
        return unavailable(reason, message, self._drain_rate.retry_after(time.monotonic(), len(self)))


def _transport(body: GenerateBody, accept: str) -> Transport:
    """`stream: false` is an answer in one piece; else the Accept header decides where it names an event stream."""
    if body.stream is False:
        return "json"
    if "application/x-ndjson" in accept:
        return "ndjson"
    return "sse" if "text/event-stream" in accept or body.stream else "json"
