"""The pictures of docs/concepts.md are drawn from the recorded run, and both can be made anew."""

import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tie_core import zoo

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURES = DOCS / "pictures"


def run_script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["draw_run.py", *arguments])
    runpy.run_path(str(DOCS / "draw_run.py"), run_name="__main__")


def test_the_pictures_are_those_of_the_recorded_run() -> None:
    drawn = runpy.run_path(str(DOCS / "draw_run.py"))["draw"](PICTURES)

    for name, picture in drawn.items():
        assert picture == (PICTURES / name).read_text(encoding="utf-8"), "run `make fmt`"


def test_the_page_shows_every_picture() -> None:
    page = (DOCS / "concepts.md").read_text(encoding="utf-8")

    assert [path.name for path in PICTURES.glob("run-*.svg") if path.name not in page] == []


def test_a_new_recording_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_script(monkeypatch, "--record", "--out", str(tmp_path))

    for name in ("run-rounds.svg", "run-steps.svg", "run-scores.svg"):
        text = "".join(ElementTree.parse(tmp_path / name).getroot().itertext())
        assert all(member in text for member in zoo.MEMBERS)
