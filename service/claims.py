"""Idempotency keys: who claims one first runs, whoever comes with the same body joins that run. Keeps hashes alone."""

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from service.errors import ApiError
from service.record import Record

VISIBLE: Final = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Once:
    """A key within its API key's scope, and what was asked under it, both as hashes."""

    key: str
    body: str


def read_once(keys: list[str], owner: str | None, endpoint: str, raw: bytes) -> Once | None:
    """From the values of the header; None without one.

    Raises:
        ApiError: 400.
    """
    if not keys:
        return None
    if len(keys) > 1 or not VISIBLE.fullmatch(keys[0]):
        message = "idempotency-key is one value of 1 to 255 visible ASCII characters"
        raise ApiError(400, "invalid_idempotency_key", message)
    return Once(_digest((owner or "").encode(), keys[0].encode()), _digest(endpoint.encode(), raw))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@dataclass(slots=True, eq=False)
class Claim:
    """A claimed key; `record` is there once its run is admitted, or raises why there is none."""

    body: str
    record: "asyncio.Future[Record]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Claims:
    """The event loop's: between looking a key up and claiming it nothing else happens."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def find(self, once: Once) -> Claim | None:
        """The claim to join.

        Raises:
            ApiError: 409, another body came with this key before.
        """
        claim = self._claims.get(once.key)
        if claim is not None and claim.body != once.body:
            message = "this idempotency key came with another request before: give each request its own key"
            raise ApiError(409, "idempotency_conflict", message, is_final=True)
        return claim

    def put(self, once: Once) -> None:
        self._claims[once.key] = Claim(once.body)

    def fulfil(self, once: Once, record: Record) -> None:
        if not (claim := self._claims[once.key]).record.done():
            claim.record.set_result(record)

    def fail(self, once: Once, error: BaseException) -> None:
        """No run came of it: whoever joined hears the same, and the key is free."""
        claim = self._claims.pop(once.key)
        if isinstance(error, Exception):
            claim.record.set_exception(error)
            claim.record.exception()  # heard, even if nobody joined
        else:
            claim.record.cancel()

    def release(self, record: Record) -> None:
        """The key may be used anew: its run came to no answer, or is forgotten."""
        claim = self._claims.get(record.claim) if record.claim is not None else None
        if claim is not None and claim.record.done() and claim.record.result() is record:
            del self._claims[str(record.claim)]
