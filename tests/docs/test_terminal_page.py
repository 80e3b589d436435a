"""docs/terminal.md: its picture is drawn from the recorded run, and what it shows as output is what commands print."""

import json
import re
import runpy
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from service.cli import app
from tests.docs.examples import FENCED, ROOT

PAGE = "docs/terminal.md"
PICTURE = ROOT / "docs" / "pictures" / "terminal.svg"


def page() -> str:
    return (ROOT / PAGE).read_text(encoding="utf-8")


def shown() -> Iterator[tuple[str, str]]:
    """The first command of a block, and the output that the page shows behind it."""
    command = ""
    for block in FENCED.finditer(page()):
        if block[1] == "sh":
            *_, command = (line for line in block[3].splitlines() if "--json" not in line and "--check" not in line)
        elif not block[1]:
            yield command, block[3]


def pattern_of(output: str) -> str:
    """Lines as they are, but for spaces at their ends; an ellipsis stands for anything."""
    lines = [re.escape(line.rstrip()).replace("…", ".*") for line in output.splitlines()]
    return r" *\n".join(".*" if line == ".*" else line for line in lines)


@pytest.mark.parametrize(("command", "output"), list(shown()), ids=[command for command, _ in shown()])
def test_the_page_shows_what_commands_print(command: str, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TIE_CONFIG", "TIE_API_KEY", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(ROOT)

    printed = CliRunner().invoke(app, command.split()[1:], catch_exceptions=False).output

    assert re.search(pattern_of(output), printed, re.DOTALL), printed


def test_the_picture_is_drawn_from_the_recorded_run() -> None:
    assert PICTURE.read_text(encoding="utf-8") == runpy.run_path(str(ROOT / "docs" / "draw_terminal.py"))["draw"]()
    assert ElementTree.parse(PICTURE).getroot().tag.endswith("svg")


def test_every_command_has_its_line() -> None:
    listed = set(re.findall(r"^\| `tie (\w+)[^|]*` \|", page(), re.MULTILINE))

    assert listed == set(typer.main.get_command(app).commands) - {"version"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["models", "show", "doctor", "config"])
def test_the_shapes_are_those_of_the_page(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIE_CONFIG", raising=False)
    (told,) = re.findall(rf"^\| `tie {command}` \| `(\{{.*\}})`", page(), re.MULTILINE)
    words = [command, "zoo-dream"] if command == "show" else [command]

    printed = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).output)

    assert re.findall(r'"(\w+)"', re.sub(r"[\[:] ?[\[{].*?[\]}]+", "", told)) == list(printed)
