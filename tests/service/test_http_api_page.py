"""docs/http-api.md names the routes, events and errors that there are."""

import re
import runpy
from pathlib import Path
from typing import get_args

from service.app import create_app
from service.event_log import SNAPSHOT
from tests.service.fakes import FakeLoader, fake_settings
from tie_core.events import Event

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/http-api.md").read_text(encoding="utf-8")
FRAMEWORK = "http_error"  # has the status that the framework gives it


def section(name: str) -> str:
    return PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_every_error_code_is_on_the_page_under_its_status_and_no_other() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", section("Errors"), re.MULTILINE)

    told = {code: int(status) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}

    made = runpy.run_path(str(ROOT / "docs/list_api.py"))["error_codes"]()
    assert told.pop(FRAMEWORK) == 500
    assert told == {code: error.status for code, error in made.items()}


def test_every_event_is_on_the_page() -> None:
    told = set(re.findall(r"^\| `(tie\.\w+)` \|", section("Events"), re.MULTILINE))

    assert told == {kind.type for kind in get_args(Event)} | {SNAPSHOT}


def test_every_route_is_on_the_page() -> None:
    routes = section("Routes")

    paths = create_app(fake_settings(), FakeLoader()).openapi()["paths"]

    assert not [path for path in paths if f"{path}`" not in routes]
