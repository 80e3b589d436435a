"""HTTP on one connection: uvicorn's, with bounds on headers, deadlines, and the one error shape for what it refuses.

What begins a request is shown to the door (`door.py`) before it is parsed.
`scope["state"]` gets `abort`, which cuts the connection at once, `is_surplus`: there are too many connections, and
`arrived`: when the request's first byte was read, in monotonic seconds.
"""

import asyncio
import logging
import random
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Literal, cast

import h11
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from service.admission import TAKEN, Place
from service.bounded import BoundedConnection
from service.door import Door, TurnedAway
from service.errors import ApiError, unavailable
from service.gate import PROBES, READ_METHODS
from service.loop import FairLoop
from service.refusal import whole_response
from service.settings import LimitSettings
from service.turns import Lull, Turns

Awaited = Literal["head", "rest", "flush", "farewell"]
SECONDS: Final[Mapping[Awaited, float]] = {
    "rest": 2.0,  # of a body that no route has asked for
    "flush": 30.0,  # a closed connection whose client does not read what is left
    "farewell": 2.0,  # after a refusal: cut sooner, the answer might be lost
}
TURN_BYTES: Final = 2_048  # that one turn of the event loop parses: the smallest requests and chunks take milliseconds
MOST_UNPARSED_BYTES: Final = 65_536  # beyond which a connection is not read on
RESERVE: Final = 64  # connections beyond the limit whose probes are still answered
PARTS_A_TURN: Final = 8  # parts of so many bytes that one turn of the event loop parses, of all connections
KNOCKS_A_TURN: Final = 64  # of all connections: a probe that comes with a burst waits for no more
REFUSALS_A_TURN: Final = 4  # that are told, once a burst is over
QUIET_SECONDS: Final = 0.005  # after which a burst is over
LONGEST_HELD: Final = 0.05  # seconds that what is let in waits for that
GRACE_SECONDS: Final = 0.1  # for a head that is late, in which what has come of it is parsed
PROBE_LINES: Final = tuple(f"{method} {path} ".encode() for method in READ_METHODS for path in PROBES)
NOTHING_KNOWN: Final[Mapping[str, Any]] = {"method": None, "route": None}
SILENT: Final = logging.Logger("uvicorn", logging.CRITICAL)  # uvicorn's own words are plain text and may hold values
SILENT.addHandler(logging.NullHandler())


class ProtocolConfig(uvicorn.Config):
    """uvicorn's configuration with our limits; `on_refusal` is told what no route will ever see.

    The turns are those in which parts are parsed and the door is asked; what the door lets in waits for a lull, and
    so do the log and the metrics of refusals.
    """

    limits: LimitSettings
    on_refusal: Callable[[str, ApiError, Mapping[str, Any]], None]
    turns: Turns
    door: Door
    door_turns: Turns
    lull: Lull
    refusal_lull: Lull


class Connection(H11Protocol):
    """One client's connection."""

    def __init__(self, config: ProtocolConfig, *others: Any, **named: Any) -> None:
        super().__init__(config, *others, **named)
        self._limits = config.limits
        self._on_refusal = config.on_refusal
        self._turns, self._door_turns = config.turns, config.door_turns
        self._door, self._lull, self._refusal_lull = config.door, config.lull, config.refusal_lull
        self.conn = BoundedConnection(config.limits)
        self.logger = SILENT
        self._next_app, self.app = self.app, self._run
        self._is_surplus = self._is_refused = False
        self._awaited: Awaited | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unparsed = bytearray()  # while there is any, a turn is booked for it
        self._when_parsed: Callable[[], object] | None = None
        self._arrived = 0.0
        self._place: Place | None = None  # of a request that is not parsed yet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        surplus = len(self.connections) - self._limits.max_connections
        self._is_surplus = surplus > 0
        if surplus > RESERVE:
            self._refuse(too_many_connections())
        else:
            self._await("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        self._unset_keepalive_if_required()
        self._give_back()
        super().connection_lost(exc)
        # Both refer back to this, which would wait for a search for garbage.
        self.app, self.cycle = self._next_app, None  # type: ignore[assignment]
        self._when_parsed = None

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        is_parsing = bool(self._unparsed)
        if not is_parsing and self.conn.their_state is not h11.SEND_BODY and not self.conn.trailing_data[0]:
            self._arrived = time.monotonic()
        self._unparsed += data
        if not is_parsing:
            self._begin()
        if len(self._unparsed) > MOST_UNPARSED_BYTES:
            self.transport.pause_reading()

    def _begin(self) -> None:
        """A probe waits for nobody."""
        if self._is_between and self._unparsed.startswith(PROBE_LINES):
            with cast(FairLoop, self.loop).at_once():
                self._parse()
        elif self._is_idle and self._door.minds(self._unparsed):
            self._door_turns.put(self._knock)
        else:
            self._turns.put(self._parse)

    @property
    def _is_between(self) -> bool:
        """No request is being read here."""
        return self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]

    @property
    def _is_idle(self) -> bool:
        """Nor is one answered."""
        return self._is_between and self.conn.our_state is h11.IDLE and not self._is_surplus

    def _knock(self) -> None:
        """Ask the door: what it turns away costs a hundredth of what parsing does."""
        found = None
        if not self._is_refused and not self.transport.is_closing():
            found = self._door.knock(bytes(self._unparsed))
        if isinstance(found, TurnedAway):
            self._lull.note()
            self._refuse(found.error, found.fields)
            self._parse()
        elif found is not None:
            self._place = found
            self._lull.put(self._parse)
        else:
            self._turns.put(self._parse)

    def _give_back(self) -> None:
        if self._place is not None:
            self._place.give_back()

    def _parse(self) -> None:
        """A part of what has come, then it is the others' turn."""
        if self._is_refused or self.transport.is_closing():
            self._unparsed.clear()
        else:
            part = bytes(self._unparsed[:TURN_BYTES])
            super().data_received(part)
            del self._unparsed[:TURN_BYTES]
            self._watch()
        if self._unparsed:
            self.loop.call_soon(self._turns.put, self._parse)
        elif self._when_parsed is not None:
            end, self._when_parsed = self._when_parsed, None
            end()
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's never keeps the connection
        """A client may end its side as soon as it has asked. True: the connection stays open."""
        # Behind the request's first step, which is all that the simplest answers take.
        close = partial(self.loop.call_soon, self.transport.close)
        if self._unparsed:
            self._when_parsed = close
        else:
            close()
        return True

    def shutdown(self) -> None:
        """The server ends: what has come before is answered."""
        if self._unparsed:
            self._when_parsed = super().shutdown
        else:
            super().shutdown()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        if self._unparsed:
            return  # it is not idle
        super().timeout_keep_alive_handler()
        self._watch()

    def abort(self) -> None:
        """Cut the connection: nothing that waits to be sent is sent."""
        self.transport.abort()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._is_surplus &= len(self.connections) > self._limits.max_connections  # until others have left
        scope["state"].update(abort=self.abort, is_surplus=self._is_surplus, arrived=self._arrived)
        place, self._place = self._place, None
        TAKEN.set(place)

        async def give_back_and_send(message: Message) -> None:
            """What is answered before it was let in needs no place while its client does not read."""
            if place is not None:
                place.give_back()
            await send(message)

        try:
            await self._next_app(scope, receive, give_back_and_send)
        finally:
            if place is not None:
                place.give_back()
            del scope["state"]["abort"]  # it refers back to the connection, and so does the connection to the scope

    def _watch(self) -> None:
        """Whatever a client still has to do has a deadline, but for reading a stream, which has another."""
        if self._is_refused:
            return
        if self.transport.is_closing():
            self._await("flush")
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._await("head")
        elif self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE:
            self._await("rest")
        else:
            self._await(None)  # a body that a route reads has a deadline there
            if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:
                # uvicorn's timer begins with an answer and ends with the next byte, which may be of the same body.
                idle_seconds = self.timeout_keep_alive
                self.timeout_keep_alive_task = self.loop.call_later(idle_seconds, self.timeout_keep_alive_handler)

    def _await(self, awaited: Awaited | None) -> None:
        """A deadline that runs goes on: a byte now and then gains no time."""
        if awaited == self._awaited:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._awaited, self._deadline = awaited, None
        if awaited is not None:
            seconds = self._limits.header_seconds if awaited == "head" else SECONDS[awaited]
            self._deadline = self.loop.call_later(seconds, self._head_is_late if awaited == "head" else self.abort)

    def _head_is_late(self) -> None:
        seconds = self._limits.header_seconds
        if self._unparsed:  # what has come may be the rest of it
            self._deadline = self.loop.call_later(GRACE_SECONDS, self._head_is_late)
        elif self.conn.trailing_data[0]:
            self._refuse(ApiError(408, "header_timeout", f"the headers did not arrive within {seconds:g} seconds"))
        else:
            self.abort()  # it has asked for nothing

    def send_400_response(self, msg: str) -> None:
        """Called while h11's error is handled. Its words may quote the request, so they are not passed on."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            limits = self._limits
            bounds = f"{limits.max_header_bytes:,} bytes or {limits.max_headers} headers"
            self._refuse(ApiError(431, "headers_too_large", f"the head of the request exceeds {bounds}: shorten it"))
        else:
            self._refuse(ApiError(400, "invalid_http", "this is no valid HTTP/1.1 request"))

    def _refuse(self, error: ApiError, fields: Mapping[str, Any] = NOTHING_KNOWN) -> None:
        """Answer in place of any route, then read on for a while, and close."""
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        self._give_back()
        self._unset_keepalive_if_required()
        self._await("farewell")
        cycle: RequestResponseCycle | None = self.cycle
        self.transport.resume_reading()
        if self.conn.our_state is h11.DONE:  # it has its answer, and this is its body that nobody reads
            self.transport.write_eof()
            return
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.abort()  # half an answer is out: another one would be taken for a part of it
                return
        request_id = f"tie-{random.getrandbits(128):032x}"  # of no run, so nothing that nobody may guess
        self.transport.write(whole_response(error, request_id))
        if self._arrived:
            fields = {**fields, "duration_ms": round((time.monotonic() - self._arrived) * 1000, 3)}
        self._refusal_lull.put(partial(self._tell_refusal, request_id, error, fields))

    def _tell_refusal(self, request_id: str, error: ApiError, fields: Mapping[str, Any]) -> None:
        """After the answers to all that came at once."""
        self._on_refusal(request_id, error, fields)
        if not self.transport.is_closing():
            with suppress(OSError):  # its client has gone
                self.transport.write_eof()


def too_many_connections() -> ApiError:
    return unavailable("too_many_connections", "too many connections are open: try again later", 1)
