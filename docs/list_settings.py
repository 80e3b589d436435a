"""Writes `settings.md` from the fields of `service/settings.py`; `make fmt` runs it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.configuration import CLIENT_KEY_VARIABLE, CONFIG_VARIABLE
from service.settings import PREFIX, Settings

PAGE = Path(__file__).resolve().parent / "settings.md"
INTRODUCTION = f"""# Settings

Written by `docs/list_settings.py` from `service/settings.py`; `make fmt` does it again.

A setting is a key of the TOML file that `--config` or `{CONFIG_VARIABLE}` names, or a variable. Variables win over the
file, and `tie serve --host --port` over both. A list or table in a variable is JSON. An unknown key or variable, or a
value out of range, is an error that names it, and nothing changes after the start, except the file of API keys.
`{CLIENT_KEY_VARIABLE}` is no setting but the key that commands send to a `--server`.
"""


def settings_page() -> str:
    """The introduction, then a table for each section."""
    schema = Settings.model_json_schema()
    return "\n".join([INTRODUCTION, *(_section(name, schema) for name in schema["properties"])])


def _section(name: str, schema: Mapping[str, Any]) -> str:
    part = schema["properties"][name]
    is_list = part.get("type") == "array"
    section = schema["$defs"][(part["items"] if is_list else part)["$ref"].rpartition("/")[2]]
    variable = f"{PREFIX}{name}".upper()
    intro = section["description"].partition("\n")[0]
    if is_list:
        intro += f" `{variable}` is the whole list."
    head = ["setting", "type", "default", *([] if is_list else ["variable"]), "meaning"]
    rows = [head, ["---"] * len(head)]
    for key, field in section["properties"].items():
        default = "required" if key in section.get("required", []) else _default(field)
        variables = [] if is_list else [f"`{variable}__{key.upper()}`"]
        rows.append([f"`{key}`", _type(field), default, *variables, field["description"]])
    heading = f"[[{name}]]" if is_list else f"[{name}]"
    table = "".join("| " + " | ".join(cells) + " |\n" for cells in rows)
    return f"## `{heading}`\n\n{intro}\n\n{table}"


def _default(field: Mapping[str, Any]) -> str:
    return "none" if field["default"] is None else f"`{json.dumps(field['default'])}`"


def _type(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:  # with null, which a default of none says
        field = field["anyOf"][0]
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if field["type"] == "array":
        return f"list of {_type(field['items'])}s"
    kind = {"object": "table", "number": "number", "integer": "integer", "boolean": "true or false"}
    return kind.get(field["type"], field.get("format", "string")) + _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    bounds = [f"{sign} {field[name]}" for name, sign in signs.items() if name in field]
    return "".join(f", {bound}" for bound in bounds)


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
