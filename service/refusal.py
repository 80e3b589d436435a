"""The whole response to what no route will see, as bytes."""

from functools import lru_cache

from uvicorn.protocols.http.h11_impl import STATUS_PHRASES

from service.encoding import to_json
from service.errors import ApiError
from service.middleware import REQUEST_ID


def whole_response(error: ApiError, request_id: str) -> bytes:
    """In the one shape of errors; the connection closes behind it."""
    before, after = _around_id(error.status, to_json({"error": error.body()}), tuple(error.headers.items()))
    return b"%b%b%b" % (before, request_id.encode(), after)


@lru_cache(16)
def _around_id(status: int, body: bytes, more: tuple[tuple[str, str], ...]) -> tuple[bytes, bytes]:
    """A response with this body, before its id and after: in a burst all are the same."""
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **dict(more),
    }
    lines = [
        f"HTTP/1.1 {status} {STATUS_PHRASES[status].decode()}",
        *map(": ".join, headers.items()),
        f"{REQUEST_ID}: ",
    ]
    return "\r\n".join(lines).encode(), b"\r\n\r\n" + body
