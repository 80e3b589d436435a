"""How a server is asked a prompt, once for each kind of server: each gives a function from a prompt to its reply.

A reply is the whole JSON answer; TIE's and OpenAI's both count tokens under `usage`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx

from service.client import ServerError, key_headers
from service.option_places import body_of
from tie_core.errors import RequestError, TieError

Reply = Mapping[str, Any]
Ask = Callable[[str], Awaitable[Reply]]

SILENCE_SECONDS: Final = 600.0


def ask_tie(client: httpx.AsyncClient, options: Mapping[str, Any], **fields: Any) -> Ask:
    """Ask a TIE server's native route. `fields` are of the body itself, such as `models` and `ensemble`."""
    body = body_of(options) | {name: value for name, value in fields.items() if value is not None}

    async def ask(prompt: str) -> Reply:
        return await _post(client, "/v1/tie/generate", {**body, "messages": as_messages(prompt)})

    return ask


def ask_openai(client: httpx.AsyncClient, model: str, max_tokens: int) -> Ask:
    """Ask any server that speaks OpenAI's chat completions, greedily."""
    body = {"model": model, "max_tokens": max_tokens, "temperature": 0}

    async def ask(prompt: str) -> Reply:
        reply = await _post(client, "/v1/chat/completions", {**body, "messages": as_messages(prompt)})
        if not isinstance(reply.get("usage"), dict):
            raise ServerError(f"{client.base_url} tells no `usage`, so its tokens cannot be counted")
        return reply

    return ask


async def first_model(client: httpx.AsyncClient) -> str:
    """The first model that an OpenAI-compatible server lists."""
    reply = await _sent(client, "GET", "/v1/models")
    models = reply.get("data")
    if not isinstance(models, list) or not models:
        raise ServerError(f"{client.base_url} lists no models: name one with --openai-model")
    return str(models[0]["id"])


def open_client(server: str, key: str | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(**connection(server, key))


def connection(server: str, key: str | None = None) -> dict[str, Any]:
    """How httpx reaches a server named as people name it: with or without scheme, slash or `/v1` at the end.

    Raises:
        ServerError: no URL.
        RequestError: no key.
    """
    headers = key_headers(key)
    base = server if "://" in server else f"http://{server}"
    try:
        url = httpx.URL(base.rstrip("/").removesuffix("/v1"))
    except httpx.InvalidURL as error:
        raise ServerError(f"{server} is no URL: {error}") from None
    unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return {"base_url": url, "headers": headers, "limits": unlimited, "timeout": SILENCE_SECONDS, "trust_env": False}


def as_messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


async def _post(client: httpx.AsyncClient, path: str, body: Mapping[str, Any]) -> Reply:
    return await _sent(client, "POST", path, json=body)


async def _sent(client: httpx.AsyncClient, method: str, path: str, **content: Any) -> Reply:
    try:
        response = await client.request(method, path, **content)
        reply = response.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerError(
            f"{client.base_url} cannot be asked: {str(error) or type(error).__name__}; `tie serve` starts a server"
        ) from None
    except ValueError:
        raise ServerError(f"{client.base_url}{path.lstrip('/')} gives no JSON (HTTP {response.status_code})") from None
    if response.is_success and isinstance(reply, dict):
        return reply
    raise refusal(str(client.base_url), response.status_code, reply)


def refusal(server: str, status: int, reply: Any) -> TieError:
    """The error that a server tells in its reply; a bad request is the caller's."""
    told = reply.get("error") if isinstance(reply, dict) else None
    told = told if isinstance(told, dict) else {}
    message, param = str(told.get("message", "no reason given")), told.get("param")
    if status == httpx.codes.BAD_REQUEST:
        return RequestError(param if isinstance(param, str) else None, message)
    return ServerError(f"{server} answers with HTTP {status}: {message}")
