"""The OpenAPI page's share of what routes read and write by hand."""

from typing import Any, get_args

from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter

from service.openai_schemas import ChatBody, CompletionBody
from service.schemas import GenerateBody
from tie_core.events import Completed
from tie_core.request import Detail

REFERENCE = "#/components/schemas/{model}"
SERVER_SENT: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["data"],
        "properties": {name: {"type": "string"} for name in ("data", "event", "id")},
    }
}
"""One event of a stream."""
ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}

REQUEST_STATE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "state", "ensemble", "last_seq", "timings", "result", "error"],
    "properties": {
        "id": {"type": "string"},
        "state": {"enum": ["queued", "running", "completed", "failed", "cancelled"]},
        "ensemble": {"type": "string"},
        "last_seq": {"type": "integer"},
        "timings": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
        "result": {"anyOf": [{"$ref": REFERENCE.format(model="Completed")}, {"type": "null"}]},
        "error": {"anyOf": [ERROR["properties"]["error"], {"type": "null"}]},
    },
}


def _completion(kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's object, and what is ours in it."""
    choice |= {"index": {"type": "integer"}, "finish_reason": {"enum": ["stop", "length"]}}
    return {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices", "usage", "tie", "timings"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": kind},
            "created": {"type": "integer"},
            "model": {"type": "string"},
            "choices": {"type": "array", "items": {"type": "object", "properties": choice}},
            "usage": _reference("Usage"),
            "tie": _reference("TieInfo"),
            "timings": _reference("Timings"),
        },
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=name)}


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(model.__name__)}}
    return {"requestBody": {"required": True, "content": content}}


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": _reference("Error")}}
    return {code: {"description": "an error", "content": content} for code in codes}


def streamed() -> dict[int | str, dict[str, Any]]:
    """A route that answers with a result, or with its events."""
    text = {"schema": {"type": "string"}}
    content = {
        "application/json": {"schema": _reference("Completed")},
        "text/event-stream": SERVER_SENT,
        "application/x-ndjson": text,
    }
    answer = {"description": "the answer, or the events that lead to it", "content": content}
    return {200: answer, **errors(400, 404, 408, 409, 413, 415, 500, 503, 504)}


def described() -> dict[int | str, dict[str, Any]]:
    """A route that answers with the state of a request."""
    content = {"application/json": {"schema": _reference("RequestState")}}
    return {200: {"description": "the state", "content": content}, **errors(404)}


def followed_from() -> dict[str, Any]:
    """The parameters that the route of a request's events reads by hand."""
    number = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
    detail = {"type": "string", "enum": list(get_args(Detail))}
    return {
        "parameters": [
            {"name": "starting_after", "in": "query", "required": False, "schema": number},
            {"name": "events", "in": "query", "required": False, "schema": detail},
        ]
    }


def followed() -> dict[int | str, dict[str, Any]]:
    """A route that answers with the events of a request."""
    text = {"schema": {"type": "string"}}
    content = {"text/event-stream": SERVER_SENT, "application/x-ndjson": text}
    over = {"description": "the request has ended and every event of it was seen"}
    return {200: {"description": "the events", "content": content}, 204: over, **errors(400, 404)}


def completed_by(kind: str) -> dict[int | str, dict[str, Any]]:
    """A route that answers with an object of OpenAI's, or with its chunks."""
    content = {"application/json": {"schema": _reference(kind)}, "text/event-stream": SERVER_SENT}
    answer = {"description": "the answer, or the chunks that lead to it", "content": content}
    return {200: answer, **errors(400, 404, 408, 409, 413, 415, 500, 503, 504)}


def add_schemas(app: FastAPI) -> None:
    """Let /openapi.json define what `body_of`, `errors` and `streamed` refer to."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:  # FastAPI keeps the page that it has made, and this with it
            generate().setdefault("components", {}).setdefault("schemas", {}).update(_schemas())
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {
        "Error": ERROR,
        "RequestState": REQUEST_STATE,
        "ChatCompletion": _completion("chat.completion", {"message": {"type": "object"}}),
        "TextCompletion": _completion("text_completion", {"text": {"type": "string"}}),
    }
    for kind in (GenerateBody, ChatBody, CompletionBody, Completed):
        schema = TypeAdapter(kind).json_schema(ref_template=REFERENCE)
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
    return schemas
