"""Sessions: where several servers share an address, whatever is in front of them goes by a header that clients choose.

Requests that come with one value reach one server. Without it, who comes back would mostly find another server, that
knows nothing of the first request: so nothing that needs coming back is promised.
"""

from typing import Final

from starlette.datastructures import Headers

from service.errors import ApiError
from service.settings import ServerSettings

SESSION: Final = "x-session-id"


def can_come_back(server: ServerSettings, headers: Headers) -> bool:
    """Whether a later request that is sent like this one reaches the same server."""
    return not server.needs_session or bool(headers.get(SESSION))


def no_session(what: str, param: str | None = None) -> ApiError:
    """400. `what` asks for a server that a request without a session may not reach."""
    message = (
        f"several servers answer here, and {what} needs the one that took the request: send {SESSION}, any value of"
        " your own, with the request and the same with all that come back to it"
    )
    return ApiError(400, "session_required", message, param=param)
