"""The pictures of the documents are those of the recorded run, and can be made anew."""

import json
import re
import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.members import zoo as members
from tie_core import zoo
from tie_core.ensemble import Ensemble

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


def test_the_picture_of_the_third_round_is_in_it() -> None:
    count = runpy.run_path(str(DOCS / "take_playground.py"))["IN_ROUND_3"]
    _, *lines = (PICTURES / "run.ndjson").read_text(encoding="utf-8").splitlines()  # the request is no event
    events = [json.loads(line) for line in lines]

    last_end = max(number for number, event in enumerate(events[:count]) if event["type"] == "tie.round")
    since = events[last_end + 1 : count]

    assert events[last_end]["round"] == 2
    assert {(event["round"], event["model"]) for event in since} == {(3, member) for member in zoo.MEMBERS}


def test_the_pages_tell_what_each_member_writes_alone_and_its_forwards() -> None:
    concepts, terminal = ((DOCS / name).read_text(encoding="utf-8") for name in ("concepts.md", "terminal.md"))
    ensemble = Ensemble("zoo", members(), zoo.DEFAULTS)
    request, *_, completed = (
        json.loads(line) for line in (PICTURES / "run.ndjson").read_text(encoding="utf-8").splitlines()
    )
    told = dict(re.findall(r"`(zoo-\w+)`(?: writes)?\s`(\w+=\d+)`", concepts))
    counts = [nfe["decode"] for nfe in completed["tie"]["nfe"].values()]

    assert list(told) == list(zoo.MEMBERS)
    for name, line in told.items():
        assert line in ensemble.answer(request["body"]["messages"], models=[name]).text.split()
        assert line not in completed["text"].split()
    for page in (concepts, terminal):
        assert "{}, {} and {}".format(*counts) in page


def test_without_chromium_the_playground_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["take_playground.py"])

    with pytest.raises(SystemExit):
        runpy.run_path(str(DOCS / "take_playground.py"), run_name="__main__")

    assert "chromium is not installed" in capsys.readouterr().err


def test_a_new_recording_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_script(monkeypatch, "--record", "--out", str(tmp_path))

    for name in ("run-rounds.svg", "run-steps.svg", "run-scores.svg"):
        text = "".join(ElementTree.parse(tmp_path / name).getroot().itertext())
        assert all(member in text for member in zoo.MEMBERS)
