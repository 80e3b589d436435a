"""Writes `contracts/` from the code: the HTTP API as OpenAPI, and the events as JSON Schema; `make fmt` runs it."""

import json
from pathlib import Path
from typing import Any

from service.app import create_app
from service.reply_schemas import events_document
from service.settings import Settings

FOLDER = Path(__file__).resolve().parent / "contracts"


def contracts() -> dict[str, dict[str, Any]]:
    """The documents by their files' names; the API is that of a server with the default settings."""
    return {"openapi.json": create_app(Settings()).openapi(), "events.json": events_document()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, document in contracts().items():
        (FOLDER / name).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
