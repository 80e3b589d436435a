"""The door: what would take a place where there is none is refused before it is parsed, which costs far more.

It reads a head that is there as a whole and quite plain, and knows no HTTP beyond that: whatever else comes is let
through, and meets the same checks further in (`gate.py`, `admission.py`).
"""

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from service.admission import Place
from service.errors import ApiError
from service.gate import is_known_host, key_in
from service.keys import Keys
from service.middleware import CLIENT_ID, REQUEST_ID
from service.quotas import Holder
from service.runs import Runs
from service.settings import Settings

FIELD: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n"
HEAD: Final = re.compile(rb"POST (/[!-~]++) HTTP/1\.[01]\r\n((?:" + FIELD + rb")*+)\r\n")
LENGTH: Final = re.compile(r"[0-9]{1,10}")
BODY_SECONDS: Final = 0.25  # that a place is kept for a body: most clients send it right behind its head
ANYBODY: Final = Holder()  # where there are no keys


class Head(NamedTuple):
    """Of one request. No header comes twice."""

    route: str
    headers: dict[str, str]
    is_whole: bool  # the body has come as well


class TurnedAway(NamedTuple):
    """Why, and what the log tells of the request."""

    error: ApiError
    fields: dict[str, Any]


class Door:
    """The event loop's. `routes` are those whose requests take a place."""

    def __init__(self, routes: Sequence[str], settings: Settings, runs: Runs, keys: Keys | None) -> None:
        self._starts = tuple(f"POST {route} HTTP/1.".encode() for route in routes)
        self._limits = settings.limits
        self._runs = runs
        self._keys = keys
        self._is_known_host = lru_cache(16)(partial(is_known_host, settings.server, has_keys=keys is not None))

    def minds(self, received: bytearray) -> bool:
        """Whether it is worth asking about a request that begins so."""
        return received.startswith(self._starts)

    def knock(self, received: bytes) -> Place | TurnedAway | None:
        """A place for the request that begins `received`, to be given back by whoever gets it, or why there is none.

        None: it is let through without. One with an idempotency key may join a run that has a place, and who has no API
        key is told so, never that there is no place. A place is not kept long for a body that does not come.
        """
        head = self._read(received)
        if head is None or not self._runs.is_open or "idempotency-key" in head.headers:
            return None
        if (holder := self._holder(head)) is None:
            return None
        try:
            place = self._runs.take_place(holder)
        except ApiError as error:
            return TurnedAway(error.with_traceback(None), _told(head, holder))
        if not head.is_whole:
            asyncio.get_running_loop().call_later(BODY_SECONDS, place.give_back)
        return place

    def _read(self, received: bytes) -> Head | None:
        """None where anything about it is not plain."""
        found = HEAD.match(received, 0, self._limits.max_header_bytes + len("\r\n\r"))
        if found is None:
            return None
        lines = found[2].decode("latin-1").split("\r\n")[:-1]
        fields = [line.partition(":") for line in lines]
        headers = {name.lower(): value.strip(" \t") for name, _, value in fields}
        if len(headers) < len(fields) or len(lines) >= self._limits.max_headers:
            return None
        return Head(found[1].decode(), headers, _is_whole(headers, len(received) - found.end()))

    def _holder(self, head: Head) -> Holder | None:
        """None where the gate would refuse it, or cannot tell at once."""
        host, given = head.headers.get("host"), head.headers.get("authorization")
        if host is None or not self._is_known_host(host):
            return None
        if self._keys is None:
            return ANYBODY
        key = key_in(given) if given is not None else None
        return self._keys.find_at_once(key) if key is not None else None


def _is_whole(headers: dict[str, str], num_bytes: int) -> bool:
    """Whether so many bytes behind the head are all of the body."""
    length = headers.get("content-length", "0")
    return "transfer-encoding" not in headers and bool(LENGTH.fullmatch(length)) and int(length) <= num_bytes


def _told(head: Head, holder: Holder) -> dict[str, Any]:
    """As the middleware and the gate tell of a request that comes so far."""
    fields: dict[str, Any] = {"method": "POST", "route": head.route}
    if CLIENT_ID.fullmatch(client_id := head.headers.get(REQUEST_ID, "")):
        fields["client_request_id"] = client_id
    return fields | ({"key": holder.name} if holder.name else {})
