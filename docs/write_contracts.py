"""Writes `contracts/` from the code: the HTTP API as OpenAPI, and the events as JSON Schema; `make fmt` runs it."""

import json
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from service.app import create_app
from service.keys import add_key
from service.reply_schemas import events_document
from service.settings import AuthSettings, Settings

FOLDER = Path(__file__).resolve().parent / "contracts"


def contracts() -> dict[str, dict[str, Any]]:
    """The documents by their files' names; the API is that of a server with the default settings, and of one that asks
    for keys."""
    with TemporaryDirectory() as folder:
        keys = Path(folder, "keys.toml")
        add_key(keys, "anybody")
        keyed = create_app(Settings(auth=AuthSettings(keys_file=keys))).openapi()
    return {"openapi.json": of_both(create_app(Settings()).openapi(), keyed), "events.json": events_document()}


def of_both(without: dict[str, Any], with_keys: dict[str, Any]) -> dict[str, Any]:
    """What holds of either server: a key may be asked for, and an answer is one of either's."""
    page = deepcopy(without)
    page["components"] |= with_keys["components"]
    for path, operations in with_keys["paths"].items():
        for method, keyed in operations.items():
            operation = page["paths"][path][method]
            operation["responses"] |= keyed["responses"]
            if "security" in keyed:
                operation["security"] = [{}, *keyed["security"]]
    return page


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, document in contracts().items():
        (FOLDER / name).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
