"""JSON Schemas of what the server sends: events, errors, the state of a request, OpenAI's objects and their chunks.

Made from the dataclasses that these are made of, where there are any. Every field is always sent but `skipped`, and
readers ignore what they do not know, so no schema forbids fields.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from service.errors import ErrorBody
from service.event_log import SNAPSHOT
from service.openai_schemas import CHUNKS, OBJECTS, REASONS
from service.record import State
from tie_core.events import Completed, Created, Event, Failed, TieInfo
from tie_core.options import TieOptions

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
IN_PAGE: Final = "#/components/schemas/{model}"
IN_DOCUMENT: Final = "#/$defs/{model}"
EVENT: Final = "Event"
TEXT: Final = {"type": "string"}
NUMBER: Final = {"type": "number"}
COUNT: Final = {"type": "integer", "minimum": 0}
FROM_ONE: Final = {"type": "integer", "minimum": 1}
NO_VALUE: Final = {"type": "null"}
HEAD: Final = {"seq": FROM_ONE, "t_ms": {"type": "number", "minimum": 0}}
"""What every event has beside its type: its number in its request, and milliseconds since that was accepted."""
FAILURE: Final = "The request ended without an answer. `retryable`: the same request may succeed later."
PICTURE: Final = (
    "All canvases at one point, in place of the steps up to it: by model the text of each position, null for a mask."
)


class _Sent(GenerateJsonSchema):
    """Of values that are written out whole: what has a default is there all the same."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Any:
        return self.generate_inner(schema["schema"])


def sent_schemas(reference: str = IN_PAGE) -> dict[str, Any]:
    """Everything by name, events by their type; `Event` is any of them. `reference` is how one is referred to."""
    schemas: dict[str, Any] = {}
    for kind in (*get_args(Event), ErrorBody, TieOptions):
        if kind is not Failed:
            schemas |= _schemas_of(kind, reference)
    events = _events(schemas, reference)
    for kind in set(get_args(Event)) - {Completed, Failed}:
        del schemas[kind.__name__]  # without its head it is nothing that is sent
    schemas["Error"] = _object({"error": _refer("ErrorBody", reference)})
    return schemas | events | _of_requests(reference) | _of_openai(schemas[TieInfo.__name__], reference)


def events_document() -> dict[str, Any]:
    """One JSON Schema that every event fits, each with its own under `$defs`."""
    schemas = sent_schemas(IN_DOCUMENT)
    start = {"$schema": DIALECT, "title": "The events of TIE Server"}
    needed = _needed(EVENT, schemas)
    return {**start, **schemas[EVENT], "$defs": {name: schemas[name] for name in schemas if name in needed - {EVENT}}}


def _events(schemas: Mapping[str, Any], reference: str) -> dict[str, Any]:
    found = {kind.type: schemas[kind.__name__] for kind in get_args(Event) if kind is not Failed}
    found[Created.type]["properties"]["options"] = _refer("TieOptions", reference)
    found[SNAPSHOT] = _snapshot()
    failure = {"error": _refer("ErrorBody", reference), "retryable": {"type": "boolean"}}
    found[Failed.type] = _object(failure) | {"description": FAILURE}
    events = {name: _headed(name, schema) for name, schema in found.items()}
    mapping = {name: reference.format(model=name) for name in events}
    any_of_them = {
        "description": "One event of a request. There may be other types one day: ignore those that you do not know.",
        "oneOf": [_refer(name, reference) for name in events],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }
    return events | {EVENT: any_of_them}


def _headed(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """`skipped` is there behind a gap alone: so many events this reader does not get."""
    head = {"type": {"const": name}, **HEAD}
    described = {"description": schema["description"]}
    whole = described | _object({**head, **schema["properties"]})
    whole["properties"]["skipped"] = FROM_ONE
    return whole


def _snapshot() -> dict[str, Any]:
    tokens = _object({"tokens": {"type": "array", "items": {"type": ["string", "null"]}}})
    models = {"type": "object", "additionalProperties": tokens}
    return _object({"round": COUNT, "models": models}) | {"description": PICTURE}


def _of_requests(reference: str) -> dict[str, Any]:
    state = {
        "id": TEXT,
        "state": {"enum": list(get_args(State))},
        "ensemble": TEXT,
        "last_seq": COUNT,
        "timings": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
        "result": {"anyOf": [_refer("Completed", reference), NO_VALUE]},
        "error": {"anyOf": [_refer("ErrorBody", reference), NO_VALUE]},
    }
    return {"RequestState": _object(state)}


def _of_openai(tie: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """`tie` is the native route's, with the parts of the text."""
    with_parts = {**tie, **_object({**tie["properties"], "reasoning": TEXT, "answer": TEXT})}
    message = _object({"role": {"const": "assistant"}, "content": TEXT, "refusal": NO_VALUE})
    delta = {"type": "object", "properties": {"role": {"const": "assistant"}, "content": TEXT}}
    return {
        "OpenAITieInfo": with_parts,
        "ChatCompletion": _completion(OBJECTS["chat"], {"message": message}, reference),
        "TextCompletion": _completion(OBJECTS["completion"], {"text": TEXT}, reference),
        "ChatCompletionChunk": _chunk(CHUNKS["chat"], {"delta": delta}, reference),
        "TextCompletionChunk": _chunk(CHUNKS["completion"], {"text": TEXT}, reference),
    }


def _completion(kind: str, said: Mapping[str, Any], reference: str) -> dict[str, Any]:
    ours = {
        "usage": _refer("Usage", reference),
        "tie": _refer("OpenAITieInfo", reference),
        "timings": _refer("Timings", reference),
    }
    return _object({**_choices(kind, said, {"enum": _reasons()}), **ours})


def _chunk(kind: str, said: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """An event rides in `tie`, the usage on one of the last chunks where it is asked for."""
    chunk = _object(_choices(kind, said, {"enum": [*_reasons(), None]}))
    chunk["properties"] |= {"usage": _refer("Usage", reference), "tie": _refer(EVENT, reference)}
    return chunk


def _choices(kind: str, said: Mapping[str, Any], reason: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's own fields: one choice."""
    choice = _object({"index": {"const": 0}, "logprobs": NO_VALUE, "finish_reason": reason, **said})
    choices = {"type": "array", "items": choice, "minItems": 1, "maxItems": 1}
    return {"id": TEXT, "object": {"const": kind}, "created": COUNT, "model": TEXT, "choices": choices}


def _reasons() -> list[str]:
    return list(dict.fromkeys(REASONS.values()))


def _schemas_of(kind: type, reference: str) -> dict[str, Any]:
    """The schema of a dataclass and of those in it, by their names."""
    schema = TypeAdapter(kind).json_schema(mode="serialization", schema_generator=_Sent, ref_template=reference)
    return {**schema.pop("$defs", {}), kind.__name__: schema}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def _refer(name: str, reference: str) -> dict[str, str]:
    return {"$ref": reference.format(model=name)}


def _needed(name: str, schemas: Mapping[str, Any]) -> set[str]:
    """The names that a schema refers to, itself among them, however far."""
    needed, found = set[str](), [name]
    while found:
        if (name := found.pop()) not in needed:
            needed.add(name)
            found += _referred(schemas[name])
    return needed


def _referred(part: Any) -> list[str]:
    inside = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else []
    own = [part["$ref"].rpartition("/")[2]] if isinstance(part, dict) and "$ref" in part else []
    return own + [name for each in inside for name in _referred(each)]
