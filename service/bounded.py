"""h11 with bounds on what one head, and the chunks of one body, may cost."""

from typing import Any, Final

import h11

from service.settings import LimitSettings

ENDS_OF_HEAD: Final = (b"\n\r\n", b"\n\n")
FREE_CHUNKS: Final = 1_000  # of a body, however small they are
CHUNK_BYTES: Final = 64  # that the further ones have on average


class BoundedConnection(h11.Connection):
    """h11, which bounds only heads that are not complete yet, and looks at no number."""

    def __init__(self, limits: LimitSettings) -> None:
        super().__init__(h11.SERVER, limits.max_header_bytes)
        self._limits = limits
        self._num_chunks = self._num_bytes = 0  # of this body

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            self._check_head(self.trailing_data[0])
            self._num_chunks = self._num_bytes = 0
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._check_chunks(event)
        return event

    def _check_chunks(self, data: h11.Data) -> None:
        """A byte in a chunk of its own costs as much as a thousand in one piece."""
        self._num_chunks += data.chunk_start
        self._num_bytes += len(data.data)
        if self._num_chunks > FREE_CHUNKS + self._num_bytes // CHUNK_BYTES:
            raise h11.RemoteProtocolError("the chunks of the body are too small")

    def _check_head(self, received: bytes) -> None:
        ends = [at for mark in ENDS_OF_HEAD if (at := received.find(mark)) >= 0]
        end = min(ends, default=len(received))
        if end > self._limits.max_header_bytes:
            bound = f"the request line and headers exceed {self._limits.max_header_bytes:,} bytes"
            raise h11.RemoteProtocolError(bound, error_status_hint=431)
        if received.count(b"\n", 0, end) > self._limits.max_headers:
            raise h11.RemoteProtocolError(f"there are more than {self._limits.max_headers} headers", 431)
