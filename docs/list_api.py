"""Writes `api-reference.md` from the routes, bodies, events and errors of the code; `make fmt` runs it."""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from service import errors
from service.errors import ApiError
from service.lifecycle import Phase
from service.openai_schemas import ChatBody, CompletionBody
from service.reply_schemas import HEAD, events_document, sent_schemas
from service.schemas import GenerateBody
from tie_core.events import Completed
from tie_core.options import PRESETS, TieOptions

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api-reference.md"
CONTRACT = ROOT / "docs" / "contracts" / "openapi.json"
"""Which `write_contracts.py` has written before this runs."""
Schema = Mapping[str, Any]
REFERENCE = "#/{model}"
INTRODUCTION = """# API reference

Written by `docs/list_api.py` from the code of routes, bodies, events and errors; `make fmt` does it again. How they
work together is in [the HTTP surface](http-api.md) and in [OpenAI's routes](openai.md). A running server tells the same
in `/openapi.json`, and `/docs` lets you try it.
"""
DEFAULTS = """The defaults of an ensemble's configuration go before the task's and these. A length that is not named
follows from the others."""
EVENTS = """Beside its own fields every event has `type`, `seq` (from 1, without gaps as produced), `t_ms` since the
request was accepted, and `skipped` where events before it were merged. [events.json](contracts/events.json) has them as
JSON Schema."""
TYPES: Mapping[str, str] = {
    "Placed": "`[position, text, confidence]`",
    "Completed": f"what [`{Completed.type}`](#{Completed.type.replace('.', '')}) has",
}
"""How a field's type is told that is no section of the page by its own name."""
DEEP = ("name", "two names", "three names")
"""How values of tables in tables are found."""
PLACE_OF_CODE: Mapping[str, int] = {"ApiError": 1, "unavailable": 0, "_unavailable": 0}
"""Among the arguments of whatever makes errors."""
OPTIONS: dict[str, Any] = {field.name: field.default for field in fields(TieOptions)}
NOT_TOLD = {"client_closed"}  # to a client that is gone


def api_page() -> str:
    """All sections of the page."""
    parts = [
        INTRODUCTION,
        f"## Routes\n\n{_routes()}",
        f"## A request\n\n{_body(GenerateBody)}\n{DEFAULTS}\n",
        f"### What a task presets\n\n{_presets()}",
        f"## OpenAI's chat\n\n{_body(ChatBody)}",
        f"## OpenAI's completion\n\n{_body(CompletionBody)}",
        f"## The state of a request\n\n{_table(sent_schemas(REFERENCE)['RequestState'])}",
        f"## Events\n\n{EVENTS}\n\n{_events()}",
        f"## Errors\n\nTheir shape, and what to do about each: [the HTTP surface](http-api.md#errors).\n\n{_errors()}",
    ]
    return "\n".join(parts)


def error_codes() -> dict[str, ApiError]:
    """Every code that a client may be told, with an error that has it."""
    found = {
        problem.code: ApiError(problem.status, problem.code, "", kind=problem.type, is_final=problem.is_final)
        for problem in errors.TABLE.values()
    }
    found |= {phase: errors.unavailable(phase, "", 1) for phase in get_args(Phase) if phase != "ready"}
    found["method_not_allowed"] = ApiError(
        405, "method_not_allowed", ""
    )  # with `http_error`, made from the framework's own
    for path in (ROOT / "service").rglob("*.py"):
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        found |= {error.code: error for call in calls if (error := _made_by(call))}
    return {code: found[code] for code in found.keys() - NOT_TOLD}


def _made_by(call: ast.Call) -> ApiError | None:
    """The error of a call whose code is a literal."""
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    place = PLACE_OF_CODE.get(name)
    code = call.args[place] if place is not None and len(call.args) > place else None
    if not isinstance(code, ast.Constant):
        return None
    if name != "ApiError":
        return errors.unavailable(str(code.value), "", 1)
    status = call.args[0].value if isinstance(call.args[0], ast.Constant) else errors.CLIENT_CLOSED
    words = {word.arg: word.value for word in call.keywords}
    kind = getattr(errors, getattr(words.get("kind"), "id", "INVALID"))
    return ApiError(int(str(status)), str(code.value), "", kind=kind, is_final="is_final" in words)


def _errors() -> str:
    rows = [
        [str(error.status), f"`{code}`", f"`{error.kind}`", "yes" if error.is_retryable else "no"]
        for code, error in error_codes().items()
    ]
    return _rows(["status", "code", "type", "may be tried again"], sorted(rows))


def _routes() -> str:
    paths = json.loads(CONTRACT.read_text(encoding="utf-8"))["paths"]
    rows = [
        [
            f"`{method.upper()} {path}`",
            operation.get("description", operation["summary"]),
            ", ".join(sorted(operation["responses"])),
        ]
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]
    return _rows(["route", "what", "statuses"], rows)


def _body(model: type) -> str:
    """What a body may have, objects in it by their paths."""
    schema = TypeAdapter(model).json_schema(ref_template=REFERENCE)
    rows = [
        [f"`{path}`", _type(field), _default(path), field.get("description", "")]
        for path, field in _leaves(schema, schema.get("$defs", {}))
    ]
    return f"{_meaning(schema)}\n\n" + _rows(["field", "type", "default", "meaning"], rows)


def _leaves(schema: Schema, parts: Mapping[str, Schema], path: str = "") -> Iterator[tuple[str, Schema]]:
    for name, field in schema["properties"].items():
        shape = _not_null(field)
        inner = parts.get(_referred(shape.get("items", shape)))
        if inner is None:
            yield path + name, field
        else:
            yield from _leaves(inner, parts, f"{path}{name}{'[]' if 'items' in shape else ''}.")


def _default(path: str) -> str:
    """Of an option of the core, which a body names in its own way."""
    name = {wire: name for name, wire in errors.WIRE_NAMES.items()}.get(path, path)
    if any(name in preset for preset in PRESETS.values()):
        return "by task"
    return "" if OPTIONS.get(name) is None else _code(OPTIONS[name])


def _presets() -> str:
    names = list(dict.fromkeys(name for preset in PRESETS.values() for name in preset))
    head = ["`task`", *(f"`{errors.WIRE_NAMES.get(name, name)}`" for name in names)]
    rows = []
    for task, preset in PRESETS.items():
        values = [(OPTIONS | preset)[name] for name in names]
        rows.append([f"`{task}`", *("" if value is None else _code(value) for value in values)])
    words = f"The intervals are for `tcc`; with any other score it is {OPTIONS['interval']}."
    return f"{words}\n\n{_rows(head, rows)}"


def _events() -> str:
    """A section for each event, then one for each object that they have in them."""
    schemas = events_document()["$defs"]
    names = sorted(
        schemas.keys() - TYPES.keys(), key=lambda name: (not name.startswith("tie."), [*schemas].index(name))
    )
    return "\n".join(_section(name, schemas[name]) for name in names)


def _section(name: str, schema: Schema) -> str:
    heading = f"`{name}`" if name.startswith("tie.") else name
    return f"### {heading}\n\n{_meaning(schema)}\n\n{_table(schema)}"


def _table(schema: Schema) -> str:
    """What is sent; of events not what all of them have."""
    fields = schema["properties"]
    if HEAD.keys() <= fields.keys():
        fields = {name: field for name, field in fields.items() if name not in {*HEAD, "type", "skipped"}}
    return _rows(["field", "type"], [[f"`{name}`", _type(field) + _or_null(field)] for name, field in fields.items()])


def _or_null(field: Schema) -> str:
    return " or null" if {"type": "null"} in field.get("anyOf", ()) else ""


def _type(field: Schema) -> str:
    if name := _referred(field):
        return TYPES.get(name, f"[{name}](#{name.lower()})")
    if "enum" in field:
        return ", ".join(map(_code, field["enum"]))
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(kind) for kind in field["anyOf"] if kind.get("type") != "null"))
    if isinstance(field.get("type"), list):
        return " or ".join(field["type"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}" if "items" in field else "list"
    if isinstance(inner := field.get("additionalProperties"), dict):
        depth = 0
        while isinstance(innermost := inner.get("additionalProperties"), dict):
            inner, depth = innermost, depth + 1
        return f"by {DEEP[depth]}: {_type(inner)}"
    if "properties" in field:
        return "; ".join(f"`{name}`: {_type(part)}" for name, part in field["properties"].items())
    return str(field.get("type", "object"))


def _code(value: object) -> str:
    """A value as JSON, in more backticks than it has itself."""
    fence = "````" if "`" in str(value) else "`"
    return f"{fence} {json.dumps(value)} {fence}" if len(fence) > 1 else f"`{json.dumps(value)}`"


def _not_null(field: Schema) -> Schema:
    """What a field is if it is there."""
    kinds: list[Schema] = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else field


def _referred(field: Schema) -> str:
    return str(_not_null(field).get("$ref", "")).rpartition("/")[2]


def _meaning(schema: Schema) -> str:
    return cleandoc(schema.get("description") or "")


def _rows(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n" for cells in lines
    )


if __name__ == "__main__":
    PAGE.write_text(api_page(), encoding="utf-8")
