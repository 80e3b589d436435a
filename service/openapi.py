"""The OpenAPI page's share of what routes read and write by hand."""

from typing import Any, get_args

from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter

from service.claims import VISIBLE
from service.gate import PROBES, asks_for_key, checks_host
from service.openai_schemas import ChatBody, CompletionBody
from service.reply_schemas import EVENT, IN_PAGE, sent_schemas
from service.schemas import GenerateBody
from service.settings import EnsembleSettings, Settings
from tie_core.options import Detail

TEXT_STREAM = {"schema": {"type": "string"}}
"""Lines of JSON, an `Event` each."""

BEARER: dict[str, Any] = {"type": "http", "scheme": "bearer", "description": "an API key of this server"}
HEADERS: dict[int, tuple[str, str]] = {
    401: ("www-authenticate", "string"),
    429: ("retry-after", "integer"),
    503: ("retry-after", "integer"),
}
"""The header that an error of a status has, and its type."""
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "the same key with the same body is the same run",
    "schema": {"type": "string", "pattern": f"^{VISIBLE.pattern}$"},
}
SESSION_ID: dict[str, Any] = {
    "name": "X-Session-Id",
    "in": "header",
    "description": "any value of the client's own: of several servers at one address, one value reaches one",
    "schema": {"type": "string"},
}
QUESTION = "What is 17 + 25?"
"""Where the default ensemble has no example of its own."""


def _reference(name: str) -> dict[str, str]:
    return {"$ref": IN_PAGE.format(model=name)}


def _server_sent(*said: dict[str, Any]) -> dict[str, Any]:
    """One event of a stream; its data is JSON of this schema, or whatever else is said."""
    json = {"type": "string", "contentMediaType": "application/json", "contentSchema": said[0]}
    data = {"anyOf": [json, *said[1:]]} if len(said) > 1 else json
    names = {"event": {"type": "string"}, "id": {"type": "string"}}
    return {"schema": {"type": "object", "required": ["data"], "properties": {"data": data, **names}}}


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(model.__name__)}}
    return {"requestBody": {"required": True, "content": content}, "parameters": [IDEMPOTENCY_KEY, SESSION_ID]}


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: _error(code) for code in codes}


def _error(code: int) -> dict[str, Any]:
    described = {"description": "an error", "content": {"application/json": {"schema": _reference("Error")}}}
    if code not in HEADERS:
        return described
    name, kind = HEADERS[code]
    return described | {"headers": {name: {"schema": {"type": kind}}}}


def _events() -> dict[str, Any]:
    """The same events, as server-sent ones or as lines."""
    return {"text/event-stream": _server_sent(_reference(EVENT)), "application/x-ndjson": TEXT_STREAM}


def streamed() -> dict[int | str, dict[str, Any]]:
    """A route that answers with a result, or with its events."""
    content = {"application/json": {"schema": _reference("Completed")}, **_events()}
    answer = {"description": "the answer, or the events that lead to it", "content": content}
    return {200: answer, **errors(400, 404, 408, 409, 413, 415, 500, 503, 504)}


def described() -> dict[int | str, dict[str, Any]]:
    """A route that answers with the state of a request."""
    content = {"application/json": {"schema": _reference("RequestState")}}
    return {200: {"description": "the state", "content": content}, **errors(400, 404)}


def come_back_to() -> dict[str, Any]:
    """What a route of a request that was sent before reads by hand."""
    return {"parameters": [SESSION_ID]}


def followed_from() -> dict[str, Any]:
    """The parameters that the route of a request's events reads by hand."""
    number = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
    detail = {"type": "string", "enum": list(get_args(Detail))}
    return {
        "parameters": [
            {"name": "starting_after", "in": "query", "schema": number},
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": number,
                "description": "as `starting_after`, which wins",
            },
            {"name": "events", "in": "query", "schema": detail},
            SESSION_ID,
        ]
    }


def followed() -> dict[int | str, dict[str, Any]]:
    """A route that answers with the events of a request."""
    over = {"description": "the request has ended and every event of it was seen"}
    return {200: {"description": "the events", "content": _events()}, 204: over, **errors(400, 404, 429)}


def completed_by(kind: str) -> dict[int | str, dict[str, Any]]:
    """A route that answers with an object of OpenAI's, or with its chunks."""
    chunk = {"anyOf": [_reference(f"{kind}Chunk"), _reference("Error")]}
    stream = _server_sent(chunk, {"const": "[DONE]"})
    content = {"application/json": {"schema": _reference(kind)}, "text/event-stream": stream}
    answer = {"description": "the answer, or the chunks that lead to it", "content": content}
    return {200: answer, **errors(400, 404, 408, 409, 413, 415, 500, 503, 504)}


def add_schemas(app: FastAPI, settings: Settings) -> None:
    """Let /openapi.json define what `body_of`, `errors` and `streamed` refer to, and tell what the gate may answer."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:  # FastAPI keeps the page that it has made, and this with it
            page = generate()
            page["components"] = {"schemas": _schemas(settings.default_ensemble)}
            if settings.auth.keys_file is not None:
                page["components"]["securitySchemes"] = {"bearer": BEARER}
            for path in page["paths"].keys() - PROBES:
                for operation in page["paths"][path].values():
                    operation["responses"].pop("422", None)  # FastAPI's own: what is read here is refused as 400
                    _add_gate(operation, path, settings)
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def _add_gate(operation: dict[str, Any], path: str, settings: Settings) -> None:
    """What may come before the route: a key that is asked for, and refusals."""
    has_keys = settings.auth.keys_file is not None
    refusals = [503]
    if checks_host(settings.server, has_keys=has_keys):
        refusals.append(421)
    if has_keys and asks_for_key(settings.auth, path, "GET"):
        operation["security"] = [{"bearer": []}]
        refusals += [401, 429] if "requestBody" in operation else [401]
    for code in refusals:
        operation["responses"].setdefault(str(code), _error(code))


def _schemas(ensemble: EnsembleSettings) -> dict[str, Any]:
    question = next(iter(ensemble.examples), QUESTION)
    messages = [{"role": "user", "content": question}]
    examples: dict[type, dict[str, Any]] = {
        GenerateBody: {"messages": messages},
        ChatBody: {"model": ensemble.name, "messages": messages},
        CompletionBody: {"model": ensemble.name, "prompt": question},
    }
    schemas = sent_schemas()
    for kind in examples:
        schema = TypeAdapter(kind).json_schema(ref_template=IN_PAGE)
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
    for body, example in examples.items():
        schemas[body.__name__]["examples"] = [example]
    return schemas
