"""The committed contracts, read as strictly as our server has to keep them, and what differs between two of them."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[1] / "docs" / "contracts"
CHANGED = """docs/contracts/{name} is not what the code says:
{differences}
Run `make fmt`, look at what it changes in the file, and commit that. If a client that was written against the old
file can meet something else now (a name that is gone, a type or value that is not in it), give CHANGELOG.md a line."""


def committed(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return document


def closed(schema: Any) -> Any:
    """The same schema, but an object has no field that it does not name: readers ignore such, and ours sends none."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: closed(part) for name, part in schema.items()}
    return {"additionalProperties": False, **strict} if isinstance(schema.get("properties"), dict) else strict


@cache
def any_event() -> Draft202012Validator:
    """Of all events of native streams."""
    return Draft202012Validator(closed(committed("events.json")))


@cache
def event_of(kind: str) -> Draft202012Validator:
    """Of those of one type, which is faster than trying every type."""
    definitions = closed(committed("events.json")["$defs"])
    assert kind in definitions, f"{kind} is no type of events.json"
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": definitions})


@cache
def page_validator(name: str) -> Draft202012Validator:
    """Of what the API's page calls by that name."""
    schemas = closed(committed("openapi.json")["components"])
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": schemas})


def fault_of(validator: Draft202012Validator, value: Any) -> str | None:
    """What is wrong with a value, and where; None if nothing is."""
    faults = sorted(validator.iter_errors(value), key=lambda fault: fault.json_path)
    return "\n".join(f"{fault.json_path}: {fault.message}" for fault in faults) or None


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """A line for each place at which two documents differ: what is gone, what is new, what changed."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from (f"  gone     {place}/{name}" for name in old.keys() - new.keys())
        yield from (f"  new      {place}/{name}" for name in new.keys() - old.keys())
        for name in sorted(old.keys() & new.keys()):
            yield from differences(old[name], new[name], f"{place}/{name}")
    elif old != new:
        yield f"  changed  {place}: {json.dumps(old)[:120]} -> {json.dumps(new)[:120]}"


def complaint(name: str, old: Any, new: Any) -> str | None:
    """What to tell whoever changed the code and not the file; None if they agree."""
    found = sorted(differences(old, new))
    shown = found[:20] + [f"  and {len(found) - 20} more"] * (len(found) > 20)
    return CHANGED.format(name=name, differences="\n".join(shown)) if found else None
