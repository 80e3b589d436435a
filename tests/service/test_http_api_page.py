"""docs/http-api.md names the routes, events, fields and errors that there are."""

import ast
import re
from pathlib import Path
from typing import get_args

from service.app import create_app
from service.errors import TABLE
from service.event_log import SNAPSHOT
from service.schemas import GenerateBody
from tests.service.fakes import FakeLoader, fake_settings
from tie_core.events import Event

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/http-api.md").read_text(encoding="utf-8")
NOT_TOLD = {"client_closed"}  # to a client that is gone
BY_PHASE = {"loading", "draining", "stopped", "failed"}  # of the server's life


def section(name: str) -> str:
    return PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def raised_codes() -> set[str]:
    """Literal codes of everything that is made as an error in `service/`."""
    codes = {problem.code for problem in TABLE.values()}
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                place = {"ApiError": 1, "unavailable": 0, "_unavailable": 0}.get(name)
                code = node.args[place] if place is not None and len(node.args) > place else None
                if isinstance(code, ast.Constant):
                    codes.add(str(code.value))
    return codes


def test_every_error_code_is_on_the_page_and_no_other() -> None:
    rows = re.findall(r"^\| \d{3} \| (.+?) \|", section("Errors"), re.MULTILINE)

    told = {code for row in rows for code in re.findall(r"`(\w+)`", row)}

    made_elsewhere = BY_PHASE | {"method_not_allowed", "not_found", "http_error"}
    assert raised_codes() - NOT_TOLD <= told
    assert told <= raised_codes() | made_elsewhere


def test_every_event_is_on_the_page() -> None:
    told = set(re.findall(r"^\| `(tie\.\w+)` \|", section("Events"), re.MULTILINE))

    assert told == {kind.type for kind in get_args(Event)} | {SNAPSHOT}


def test_every_route_is_on_the_page() -> None:
    routes = section("Routes")

    paths = create_app(fake_settings(), FakeLoader()).openapi()["paths"]

    assert not [path for path in paths if f"{path}`" not in routes]


def test_every_field_of_a_request_is_told() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert not [name for name in GenerateBody.model_fields if f"`{name}" not in PAGE + readme]
