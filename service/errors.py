"""The one shape of errors, and the one table from the core's exceptions to HTTP. Knows no route.

No message holds what a client sent: no prompt, no value, and a field's name only if it looks like a name.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from service.encoding import to_json
from tie_core import errors as core

INVALID: Final = "invalid_request_error"
UNAVAILABLE: Final = "service_unavailable_error"
SERVER: Final = "server_error"
RATE_LIMIT: Final = "rate_limit_error"
AUTHENTICATION: Final = "authentication_error"
FINAL: Final = {"x-should-retry": "false"}  # OpenAI's clients try again after any 409 or 500 without it
CLIENT_CLOSED: Final = 499  # nginx's number: the client left before the answer
FAILED_ON_ALL: Final = (
    "every model that was asked failed at this request itself, and is likely to fail again: change it or ask other"
    " models; whoever runs the server finds the reason by x-request-id"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a kind of error is over HTTP. Without `message` the error speaks for itself.

    `is_final`: the same request is not to be tried again, whatever the status says.
    """

    status: int
    type: str
    code: str
    message: str | None = None
    is_final: bool = False


TABLE: Final[Mapping[type[Exception], Problem]] = {
    core.UnknownModelError: Problem(404, INVALID, "model_not_found"),
    core.PromptError: Problem(400, INVALID, "invalid_prompt"),
    core.ContextLengthError: Problem(400, INVALID, "context_length_exceeded"),
    core.OptionsError: Problem(400, INVALID, "invalid_value"),
    core.RequestError: Problem(400, INVALID, "invalid_request"),
    core.OverloadedError: Problem(503, UNAVAILABLE, "queue_full"),
    core.EngineClosedError: Problem(503, UNAVAILABLE, "draining"),
    core.OutOfMemoryError: Problem(503, UNAVAILABLE, "out_of_memory"),
    core.NoMemberLeftError: Problem(503, UNAVAILABLE, "no_member_left"),
    core.MemberError: Problem(500, SERVER, "member_failed", FAILED_ON_ALL, is_final=True),
    core.CancelledError: Problem(409, INVALID, "cancelled", is_final=True),
    core.DeadlineError: Problem(504, SERVER, "deadline_exceeded"),
    Exception: Problem(500, SERVER, "internal_error", "an internal error ended this request"),
}
WIRE_NAMES: Final[Mapping[str, str]] = {
    "reasoning": "reasoning_length",
    "answer": "answer.length",
    "suffix": "answer.suffix",
    "scored_positions": "answer.scored_positions",
    **{
        name: f"tie.{name}"
        for name in ("interval", "score", "cross_model", "selection", "best_model", "calibration", "min_models")
    },
    "relay_boundary": "tie.relay_boundary",
    **{name: f"unmasking.{name}" for name in ("policy", "k", "tau", "factor", "gamma", "suppress_end", "fill_end")},
}
"""The core's name of an option -> where the native route has it."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What every error says. `param` names a field of the body where one is at fault."""

    message: str
    type: str
    param: str | None
    code: str


class ApiError(Exception):
    """An error with everything that its response needs."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        kind: str = INVALID,
        headers: Mapping[str, str] | None = None,
        is_final: bool = False,
    ) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.status, self.code, self.param, self.kind = status, code, param, kind
        self.headers = {**(headers or {}), **(FINAL if is_final else {})}

    @property
    def is_retryable(self) -> bool:
        """True where the same request may succeed later."""
        return not self.is_final and (self.status >= 500 or self.status == 429)

    def body(self) -> dict[str, Any]:
        return asdict(ErrorBody(str(self), self.kind, self.param, self.code))

    def response(self) -> Response:
        return Response(
            to_json({"error": self.body()}), self.status, headers=self.headers, media_type="application/json"
        )


def api_error(error: Exception) -> ApiError:
    """Any exception by the table: its own entry or that of the nearest class above it."""
    if isinstance(error, ApiError):
        return error
    problem = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    param = error.param if isinstance(error, core.RequestError) else None
    return ApiError(
        problem.status,
        problem.code,
        problem.message or str(error),
        param=WIRE_NAMES.get(param, param) if param else None,
        kind=problem.type,
        headers={"retry-after": "1"} if problem.status == 503 else None,
        is_final=problem.is_final,
    )


def unavailable(code: str, message: str, retry_after: int) -> ApiError:
    """503, with the seconds after which to come back."""
    return ApiError(503, code, message, kind=UNAVAILABLE, headers={"retry-after": str(retry_after)})


async def on_api_error(request: Request, error: Exception) -> Response:
    found = api_error(error)
    request.state.error = found
    return found.response()


async def on_http_error(request: Request, error: Exception) -> Response:
    """What the framework raises itself: no such route, no such method on it."""
    assert isinstance(error, HTTPException)
    known = {
        404: ("not_found", "there is no such route: /openapi.json lists them"),
        405: ("method_not_allowed", "this route does not take this method"),
    }
    code, message = known.get(error.status_code, ("http_error", "the request cannot be served"))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == 405:
        headers["allow"] = ", ".join(sorted({*headers["allow"].split(", "), *_methods_of(request)}))
    return await on_api_error(request, ApiError(error.status_code, code, message, headers=headers))


def _methods_of(request: Request) -> set[str]:
    """Of every route on this path that the page of the app lists: the framework tells those of one alone."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    return {
        method.upper()
        for path, operations in paths.items()
        if compile_path(path)[0].match(request.url.path)
        for method in operations
    }
