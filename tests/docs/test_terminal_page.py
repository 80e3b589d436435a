"""docs/terminal.md: its picture is drawn from the recorded run, and what it shows as output is what commands print.

README's sample of the demo is held to it here too.
"""

import json
import re
import runpy
import shlex
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from service.cli import app
from tests.docs.examples import ROOT, examples_of

PAGE = "docs/terminal.md"
PICTURE = ROOT / "docs" / "pictures" / "terminal.svg"


def page() -> str:
    return (ROOT / PAGE).read_text(encoding="utf-8")


def shown() -> Iterator[tuple[str, str]]:
    """The last command of a block that a person reads the output of, and the output that is shown behind it."""
    command = ""
    for example in (*examples_of(PAGE), *examples_of("README.md")):
        if example.language == "sh":
            *_, command = (line for line in example.commands if "--json" not in line and "--check" not in line)
        elif not example.language:
            yield command, example.text


def recipe_of(target: str) -> str:
    (recipe,) = re.findall(rf"^{target}:.*\n\t(.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return str(recipe)


def pattern_of(output: str) -> str:
    """Lines as they are, but for spaces at their ends; an ellipsis stands for anything."""
    lines = [re.escape(line.rstrip()).replace("…", ".*") for line in output.splitlines()]
    return r" *\n".join(".*" if line == ".*" else line for line in lines)


@pytest.mark.parametrize(("command", "output"), list(shown()), ids=[command for command, _ in shown()])
def test_the_page_shows_what_commands_print(command: str, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TIE_CONFIG", "TIE_API_KEY", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(ROOT)

    program, *words = shlex.split(command)
    if program == "make":
        _, *words = shlex.split(recipe_of(*words))

    printed = CliRunner().invoke(app, words, catch_exceptions=False).output

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
