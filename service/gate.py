"""The gate: who may come in. All is shut but the probes and the page's files, also what does not exist."""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import AUTHENTICATION, ApiError, unavailable
from service.keys import Keys
from service.page import is_of_page
from service.quotas import HOLDER, Holder
from service.settings import AuthSettings, ServerSettings, is_loopback

PROBES: Final = frozenset({"/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"})
READ_METHODS: Final = ("GET", "HEAD")
METRICS: Final = "/metrics"
CHALLENGE: Final = {"www-authenticate": "Bearer"}
SCHEME: Final = "bearer "


class Gate:
    """Inside `RequestScope`. `scope["state"]` gets `key_id`, the name of the key, and so does the log."""

    def __init__(self, app: ASGIApp, server: ServerSettings, auth: AuthSettings, keys: Keys | None) -> None:
        self._app = app
        self._server = server
        self._auth = auth
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope)
        except ApiError as error:
            scope["state"]["error"] = error
            await error.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        """Raises:
        ApiError: 503 beyond the bound on connections, 421 under another name, 401 without a key.
        """
        HOLDER.set(Holder())
        if scope["path"] in PROBES and scope["method"] in READ_METHODS:
            return
        if scope["state"].get("is_surplus"):
            raise unavailable("too_many_connections", "too many connections are open: try again later", 1)
        headers = Headers(scope=scope)
        self._check_host(headers)
        if self._keys is not None and asks_for_key(self._auth, scope["path"], scope["method"]):
            holder = await self._holder(headers, self._keys)
            HOLDER.set(holder)
            scope["state"]["key_id"] = scope["state"]["log"]["key"] = holder.name

    def _check_host(self, headers: Headers) -> None:
        """Against a page whose name is made to mean this machine, which a browser would let ask anything here."""
        if not is_known_host(self._server, headers.get("host", ""), has_keys=self._keys is not None):
            message = (
                "this server does not answer to that Host: server.allowed_hosts lists the names that it answers to"
            )
            raise ApiError(421, "host_not_allowed", message)

    @staticmethod
    async def _holder(headers: Headers, keys: Keys) -> Holder:
        given = headers.getlist("authorization")
        if not given:
            message = "this server asks for an API key: send it as `Authorization: Bearer KEY`"
            raise ApiError(401, "missing_api_key", message, kind=AUTHENTICATION, headers=CHALLENGE)
        key = key_in(given[0]) if len(given) == 1 else None
        holder = await keys.find(key) if key is not None else None
        if holder is None:
            message = "this is not an API key of this server: check it, or ask whoever runs the server for one"
            raise ApiError(401, "invalid_api_key", message, kind=AUTHENTICATION, headers=CHALLENGE)
        return holder


def checks_host(server: ServerSettings, *, has_keys: bool) -> bool:
    """Whether a request under a name that is not the server's own is refused."""
    return "*" not in server.allowed_hosts and not (has_keys and not server.allowed_hosts)


def is_known_host(server: ServerSettings, host: str, *, has_keys: bool) -> bool:
    """Whether a request with this Host header is answered."""
    if not checks_host(server, has_keys=has_keys):
        return True
    name = _without_port(host).lower()
    if server.allowed_hosts:
        return name in server.allowed_hosts
    return is_loopback(name.strip("[]")) or name == server.host


def key_in(authorization: str) -> str | None:
    """The API key of an Authorization header; None where it is of another scheme."""
    is_bearer = authorization[: len(SCHEME)].lower() == SCHEME
    return authorization[len(SCHEME) :].strip() if is_bearer else None


def asks_for_key(auth: AuthSettings, path: str, method: str) -> bool:
    """Whether a request that is no probe asks for a key, where there are keys. The page does not: it has none to send
    before somebody enters it there, and it is the same file everywhere.
    """
    is_page = method in READ_METHODS and is_of_page(path)
    return not is_page and not (auth.open_metrics and path == METRICS)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and (not name.count(":") or name.endswith("]")) else host
