"""Around every request: its id, its log line, its clean-up, limits on its body. Plain ASGI, no buffering."""

import asyncio
import re
import time
import uuid
from contextlib import ExitStack, suppress
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from service.errors import CLIENT_CLOSED, ApiError, api_error
from service.gate import PROBES
from service.log import log_bug
from service.metrics import RequestMetrics

REQUEST_ID: Final = "x-request-id"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CLOSE: Final = {"connection": "close"}
DISCARD_SECONDS: Final = 2.0  # for the rest of a body that is too large
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def new_request_id() -> str:
    """The server's own id of a request: a client's is kept beside it and never used as a key."""
    return f"tie-{uuid.uuid4().hex}"


class RequestScope:
    """Outermost. `scope["state"]` gets `request_id`, `exits` (run when all is sent), `log` (fields)."""

    def __init__(self, app: ASGIApp, log: FilteringBoundLogger, metrics: RequestMetrics) -> None:
        self._app = app
        self._log = log
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        with ExitStack() as exits:
            scope.setdefault("state", {}).update(request_id=exchange.id, exits=exits, log=exchange.fields)
            try:
                await self._app(scope, receive, exchange.send)
            except ClientDisconnect:
                exchange.status = CLIENT_CLOSED
            except Exception as error:  # a bug in a route: the one place that answers it
                await self._fail(exchange, error, scope, receive)
        self._tell(exchange, scope)

    async def _fail(self, exchange: "Exchange", error: Exception, scope: Scope, receive: Receive) -> None:
        """A bug: where it happened goes to the log, without values; the client gets the bare fact.

        Too late for a response, nothing is raised either, or the server would print the values: it cuts the connection.
        """
        log_bug(self._log, error, request_id=exchange.id)
        scope["state"]["error"] = found = api_error(error)
        if exchange.status is None:
            await found.response()(scope, receive, exchange.send)

    def _tell(self, exchange: "Exchange", scope: Scope) -> None:
        error = scope["state"].get("error")
        if isinstance(error, ApiError) and error.status != CLIENT_CLOSED:
            if scope["path"] not in PROBES:  # whoever asks whether it is ready gets an answer
                self._metrics.errors.labels(error.kind).inc()
            exchange.fields["error"] = error.code
        route = scope.get("route")
        self._log.info(
            "request",
            request_id=exchange.id,
            method=scope["method"] if scope["method"] in METHODS else "other",
            route=getattr(route, "path", None),
            status=exchange.status,
            duration_ms=round((time.monotonic() - exchange.started) * 1000, 3),
            **exchange.fields,
        )


class Exchange:
    """One request and what is known of its response. `started`: when its first byte came, as the connection says."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = new_request_id()
        self.started: float = scope.get("state", {}).get("arrived") or time.monotonic()
        self.status: int | None = None
        self.fields: dict[str, Any] = {}
        self._send = send
        client_id = Headers(scope=scope).get(REQUEST_ID, "")
        if CLIENT_ID.fullmatch(client_id):
            self.fields["client_request_id"] = client_id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID] = self.id
        await self._send(message)


class BodyLimits:
    """No body beyond `max_bytes` (413) or slower than `seconds` (408), whatever its headers promise.

    `scope["state"]` gets `receive_unlimited`, for who reads no body and only waits for the client to leave.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["state"]["receive_unlimited"] = receive
        try:
            limited = _LimitedBody(receive, Headers(scope=scope), self._max_bytes, self._seconds).receive
            await self._app(scope, limited, send)
        finally:
            del scope["state"]["receive_unlimited"]  # it refers back to the scope


class _LimitedBody:
    """`receive` for the layers below, with the limits."""

    def __init__(self, receive: Receive, headers: Headers, max_bytes: int, seconds: float) -> None:
        self._receive = receive
        self._headers = headers
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._num_bytes = 0
        self._is_whole = False

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        if self._promises_too_much() and "expect" in self._headers:
            raise self._too_large()  # the client waits for a word before it sends
        message = await self._next_part()
        if self._num_bytes > self._max_bytes or self._promises_too_much():
            await self._discard_the_rest()
            raise self._too_large()
        return message

    def _promises_too_much(self) -> bool:
        length = self._headers.get("content-length", "")
        return length.isdecimal() and int(length[:20]) > self._max_bytes

    async def _next_part(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            late = f"the body did not arrive within {self._seconds:g} seconds"
            raise ApiError(408, "body_timeout", late, headers=CLOSE) from None
        self._num_bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        return message

    async def _discard_the_rest(self) -> None:
        """Most clients read no answer before they have sent all; a connection cut meanwhile would lose it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while not self._is_whole:
                    self._is_whole = not (await self._receive()).get("more_body", False)

    def _too_large(self) -> ApiError:
        message = f"the body exceeds {self._max_bytes:,} bytes: shorten it"
        return ApiError(413, "body_too_large", message, headers={} if self._is_whole else CLOSE)
