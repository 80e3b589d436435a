"""The pages that are written from code are as the code is, and say something of everything on them."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "api-reference.md": ("list_api.py", "api_page"),
    "metrics.md": ("list_metrics.py", "metrics_page"),
    "settings.md": ("list_settings.py", "settings_page"),
}


def written(name: str) -> str:
    script, function = PAGES[name]
    write: Callable[[], str] = runpy.run_path(str(ROOT / "docs" / script))[function]
    return write()


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == written(name), "run `make fmt`"


def test_every_field_of_a_body_has_a_meaning() -> None:
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| [^|]+ \| [^|]* \| ([^|]*) \|$", written("api-reference.md"), re.MULTILINE)

    assert len(rows) > 40
    assert [path for path, meaning in rows if not meaning.endswith(".")] == []


def test_tables_in_tables_are_told_in_one_go() -> None:
    types = re.findall(r"^\| `(?:tie\.)?calibration` \| ([^|]+) \|", written("api-reference.md"), re.MULTILINE)

    assert types == ["by three names: number", "by three names: number or null"]


def test_every_metric_says_what_it_counts() -> None:
    rows = re.findall(r"^\| `(tie_\w+)` \| .+ \| ([^|]*) \|$", written("metrics.md"), re.MULTILINE)

    assert len(rows) > 30
    assert [name for name, meaning in rows if not meaning.endswith(".")] == []
