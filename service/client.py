"""Events of a running server as the library's own values, and any events read ahead of whoever shows them.

Speaks `POST /v1/tie/generate` with server-sent events. Types that this version does not know are left out.
"""

import json
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from queue import SimpleQueue
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pydantic import TypeAdapter, ValidationError

from service.configuration import CLIENT_KEY_VARIABLE
from tie_core.errors import RequestError, TieError
from tie_core.events import Answer, Completed, Created, Event, Failed, RoundEnded, Started, StepTaken

READER: Final = "events"  # the thread that reads ahead
SILENCE_SECONDS: Final = 300.0  # a server that says nothing for so long, not even a ping, is gone
SHORT_SECONDS: Final = 10.0  # for what a server has at hand
_ADAPTERS: Final[Mapping[str, TypeAdapter[Any]]] = {
    kind.type: TypeAdapter(kind) for kind in (Created, Started, StepTaken, RoundEnded, Answer, Completed)
}


class ServerError(TieError):
    """The server cannot be reached, or its answer is no answer."""


def event_of(data: Mapping[str, Any]) -> Event | None:
    """An event from its JSON form; None for a type that is not known here."""
    kind = data.get("type")
    if kind == Failed.type:
        return Failed(_error_of(data))
    adapter = _ADAPTERS.get(str(kind))
    if adapter is None:
        return None
    try:
        event: Event = adapter.validate_python(data)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ServerError(f"the server's {kind} event is not understood ({where}): is it of this version?") from None
    return event


def key_headers(key: str | None) -> dict[str, str]:
    """The header that an API key is sent in; none without one.

    Raises:
        RequestError: no header can hold the key. The message does not either.
    """
    if not key:
        return {}
    if not all("!" <= character <= "~" for character in key):
        raise RequestError("api_key", "an API key is visible ASCII characters: give it as `tie keys new` printed it")
    return {"Authorization": f"Bearer {key}"}


def server_events(server: str, body: Mapping[str, Any], key: str | None = None) -> Generator[Event, None, None]:
    """Send a request and yield its events as they come; the last one is `Completed` or `Failed`.

    Raises:
        RequestError: the server refused the request.
        ServerError: it cannot be reached, failed, or broke off.
    """
    try:
        with _open(server, body, key) as response:
            for data in _sent_data(response):
                event = event_of(data)
                if event is not None:
                    yield event
                if isinstance(event, Completed | Failed):
                    return
    except (OSError, HTTPException) as error:
        raise _broken_off(server, error) from None
    raise ServerError(f"{server} ended its answer before it was complete: ask again")


def server_ensembles(server: str, key: str | None = None) -> list[Mapping[str, Any]]:
    """What a server tells of its ensembles, the default one first.

    Raises:
        RequestError: the server refused the request, or no header can hold the key.
        ServerError: it cannot be reached, takes no request with this key, broke off, or lists no ensembles.
    """
    try:
        with _connect(server, "/v1/models", key, SHORT_SECONDS) as response:
            entries = json.load(response)["data"]
            return [entry for entry in entries if entry.get("kind") == "ensemble"]
    except (OSError, HTTPException) as error:
        raise _broken_off(server, error) from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ServerError(f"{server} does not list its ensembles: is it a TIE server?") from None


def _open(server: str, body: Mapping[str, Any], key: str | None) -> HTTPResponse:
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    data = json.dumps({**body, "stream": True}).encode()
    return _connect(server, "/v1/tie/generate", key, SILENCE_SECONDS, data, headers)


def _connect(
    server: str,
    path: str,
    key: str | None,
    seconds: float,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    base = server if "://" in server else f"http://{server}"
    private = key_headers(key)
    try:
        request = Request(base.rstrip("/").removesuffix("/v1") + path, data, dict(headers or {}))
        for name, value in private.items():
            request.add_unredirected_header(name, value)  # it is for this server and for nobody it points to
        response: HTTPResponse = urlopen(request, timeout=seconds)
    except HTTPError as error:
        with error:
            raise _refusal(server, error) from None
    except (URLError, HTTPException, ValueError, OSError) as error:
        raise ServerError(f"no TIE server answers at {server}: {_reason(error)}; `tie serve` starts one") from None
    return response


def _sent_data(response: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """The data of server-sent events: TIE's are one line of JSON each."""
    for line in response:
        if line.startswith(b"data:"):
            try:
                data = json.loads(line[len(b"data:") :])
            except ValueError:
                raise ServerError("the server sent an event that is no JSON") from None
            if isinstance(data, dict):
                yield data


def _refusal(server: str, error: HTTPError) -> TieError:
    try:
        body = json.loads(error.read())
    except (ValueError, OSError):
        body = None
    if error.code == HTTPStatus.UNAUTHORIZED:
        advice = f"give a key of this server in {CLIENT_KEY_VARIABLE} or by --api-key"
        return ServerError(f"{server} answers with HTTP {error.code}: {advice}")
    if not isinstance(body, dict) or "error" not in body:
        return ServerError(f"{server} answers with HTTP {error.code}: is it a TIE server?")
    told = _error_of(body)
    return told if error.code < 500 else ServerError(f"{server} answers with HTTP {error.code}: {told}")


def _error_of(body: Mapping[str, Any]) -> TieError:
    """The one error shape of the server; a bad request is the caller's, everything else is not."""
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    message, param = str(error.get("message", "no reason given")), error.get("param")
    if "invalid" in str(error.get("type")) or param is not None:
        return RequestError(param if isinstance(param, str) else None, message)
    return ServerError(message)


def _broken_off(server: str, error: OSError | HTTPException) -> ServerError:
    return ServerError(f"the connection to {server} broke off: {_reason(error)}; ask again")


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def ahead(events: Iterable[Event]) -> Iterator[Event]:
    """The same events, produced on a thread of their own: a display that takes its time slows no run."""
    mailbox: SimpleQueue[Event | BaseException | None] = SimpleQueue()
    closed = threading.Event()

    def produce() -> None:
        try:
            for event in events:
                mailbox.put(event)
                if closed.is_set():
                    return
            mailbox.put(None)
        except BaseException as error:  # raised again where the events are read
            mailbox.put(error)

    threading.Thread(target=produce, name=READER, daemon=True).start()
    try:
        while (item := mailbox.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
