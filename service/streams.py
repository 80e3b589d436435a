"""A run's events on their way out: SSE or NDJSON over one response class, and the wait for a JSON answer.

Whoever leaves early is noticed here; the middleware then releases the run.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message, Receive, Scope, Send

from service.encoding import to_json
from service.errors import CLIENT_CLOSED, ApiError
from service.mailbox import Delivered
from service.metrics import RequestMetrics
from service.run import Run
from service.settings import ServerSettings
from tie_core.events import Completed, Failed

NEWLINE = "\n"


class EventStream(EventSourceResponse):
    """The stream of one run. A reader that takes nothing for `send_timeout_seconds` is given up."""

    def __init__(self, run: Run, settings: ServerSettings, metrics: RequestMetrics) -> None:
        is_sse = run.transport == "sse"
        super().__init__(
            _encoded(run, _as_sse if is_sse else _as_line, metrics),
            media_type="text/event-stream" if is_sse else "application/x-ndjson",
            ping=settings.ping_seconds if is_sse else 0,
            ping_message_factory=lambda: ServerSentEvent(comment="ping", sep=NEWLINE),
            sep=NEWLINE,
            send_timeout=settings.send_timeout_seconds,
        )
        self._streams_open = metrics.streams_open.labels(run.endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams_open.track_inprogress(), suppress(TimeoutError):
            await super().__call__(scope, receive, send)


async def _encoded(run: Run, encode: Callable[[Delivered], bytes], metrics: RequestMetrics) -> AsyncIterator[bytes]:
    assert run.mailbox is not None
    is_last = False
    while not is_last:
        delivered = await run.mailbox.get()
        if "error" in delivered.data:
            metrics.errors.labels(delivered.data["error"]["type"]).inc()
        is_last = delivered.is_last
        yield encode(delivered)


def _as_sse(delivered: Delivered) -> bytes:
    data = to_json(delivered.data).decode()
    return ServerSentEvent(data, event=delivered.type, id=str(delivered.seq), sep=NEWLINE).encode()


def _as_line(delivered: Delivered) -> bytes:
    return to_json(delivered.data) + NEWLINE.encode()


async def answer(run: Run, receive: Callable[[], Awaitable[Message]]) -> Completed:
    """The end of a run, for a client that waits.

    Raises:
        TieError: the run failed.
        ApiError: 499, the client left; nobody reads the response.
    """
    waiting = asyncio.create_task(run.ended())
    leaving = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        leaving.cancel()
    if run.end is None:
        raise ApiError(CLIENT_CLOSED, "client_closed", "the client left before the answer")
    if isinstance(run.end, Failed):
        raise run.end.error
    return run.end


async def _disconnected(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
