"""Memory for the bodies that are being read and admitted: small ones have room of their own, large ones share some.

So what connections may hold is bounded without a place for each: whoever sends slowly would keep it from others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.errors import unavailable

SMALL_BYTES: Final = 65_536
MAX_LARGE: Final = 64  # bodies at once that may be larger than that


class Body:
    """The parts of one body."""

    def __init__(self, bodies: "Bodies") -> None:
        self._bodies = bodies
        self._parts: list[bytes] = []
        self._num_bytes = 0
        self.is_large = False

    def put(self, part: bytes) -> None:
        """Raises:
        ApiError: 503, too many large ones are there.
        """
        self._parts.append(part)
        self._num_bytes += len(part)
        if self._num_bytes > SMALL_BYTES and not self.is_large:
            self._bodies.take_large()
            self.is_large = True

    def whole(self) -> bytes:
        return b"".join(self._parts)


class Bodies:
    """The event loop's."""

    def __init__(self) -> None:
        self.num_large = 0

    @contextmanager
    def reading(self) -> Iterator[Body]:
        """A body that may be held on to for as long as this lasts."""
        body = Body(self)
        try:
            yield body
        finally:
            self.num_large -= body.is_large

    def take_large(self) -> None:
        if self.num_large >= MAX_LARGE:
            message = f"{MAX_LARGE} bodies beyond {SMALL_BYTES:,} bytes are being read: send a shorter one, or wait"
            raise unavailable("queue_full", message, 1)
        self.num_large += 1
