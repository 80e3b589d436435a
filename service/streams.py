"""A run's events on their way out: SSE or NDJSON over one response class, and the wait for a JSON answer.

Whoever leaves early is noticed here; the middleware then tells the run.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message, Receive, Scope, Send

from service.errors import CLIENT_CLOSED, ApiError
from service.event_log import Delivered, Reader
from service.metrics import RequestMetrics
from service.record import Record
from service.run import Caller
from service.settings import ServerSettings
from tie_core.events import Completed, Failed

NEWLINE = "\n"
TURN_BYTES: Final = 16_384  # that one stream writes before it is the others' turn
REPLAYED: Final = {"idempotent-replayed": "true"}
Encode = Callable[[Delivered], bytes]
"""What one event becomes on its way out: nothing, or any number of messages."""


class EventStream(EventSourceResponse):
    """The stream of one run. Of a client that takes nothing for `send_timeout_seconds` the connection is cut."""

    def __init__(
        self,
        caller: Caller,
        settings: ServerSettings,
        metrics: RequestMetrics,
        encode: Encode | None = None,
        reader: Reader | None = None,
    ) -> None:
        record, is_sse = caller.record, caller.transport == "sse"
        encode = encode or (_as_sse if is_sse else _as_line)
        super().__init__(
            _encoded(record, reader or record.log.read(), encode, metrics),
            headers=REPLAYED if caller.is_replay else None,
            media_type="text/event-stream" if is_sse else "application/x-ndjson",
            ping=settings.ping_seconds if is_sse else 0,
            ping_message_factory=lambda: ServerSentEvent(comment="ping", sep=NEWLINE),
            sep=NEWLINE,
        )
        self._send_seconds = settings.send_timeout_seconds
        self._streams_open = metrics.streams_open.labels(record.endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            """Everything, the last part too: closing alone would wait for the client to take what it has not taken."""
            try:
                async with asyncio.timeout(self._send_seconds):
                    await send(message)
            except TimeoutError:
                scope["state"].get("abort", _nothing)()
                raise

        with self._streams_open.track_inprogress(), suppress(TimeoutError):
            leaving = scope["state"].get("receive_unlimited", receive)  # a body is too late to be refused
            await super().__call__(scope, leaving, send_in_time)


def _nothing() -> None:
    """A server without a way to cut a connection, as in tests of the app alone."""


async def _encoded(record: Record, reader: Reader, encode: Encode, metrics: RequestMetrics) -> AsyncIterator[bytes]:
    """What waits goes out in one write, up to a bound: sending costs far more than the bytes."""
    while not reader.is_over:
        waiting = [await reader.get()]
        written = b""
        while waiting:
            delivered = waiting.pop()
            if delivered.skipped and reader.merges:
                metrics.merged.labels(record.endpoint).inc(delivered.skipped)
            if delivered.type == Failed.type:
                metrics.errors.labels(delivered.data["error"]["type"]).inc()
            written += encode(delivered)
            if len(written) < TURN_BYTES and (following := reader.get_at_once()) is not None:
                waiting.append(following)
        yield written
        await asyncio.sleep(0)


def _as_sse(delivered: Delivered) -> bytes:
    return f"id: {delivered.seq}\nevent: {delivered.type}\ndata: ".encode() + delivered.json + b"\n\n"


def _as_line(delivered: Delivered) -> bytes:
    return delivered.json + NEWLINE.encode()


async def answer(caller: Caller, receive: Callable[[], Awaitable[Message]]) -> Completed:
    """The end of a run, for a client that waits.

    Raises:
        TieError: the run failed.
        ApiError: 499, the client left; nobody reads the response.
    """
    waiting = asyncio.create_task(caller.record.wait())
    leaving = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        leaving.cancel()
    end = caller.record.end
    if end is None:
        raise ApiError(CLIENT_CLOSED, "client_closed", "the client left before the answer")
    if isinstance(end, Failed):
        raise end.error
    return end


async def _disconnected(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
