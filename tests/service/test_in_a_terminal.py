"""`tie replay` and `tie run --watch` in a real pseudo-terminal: frames, sizes, interrupts, and what is left behind."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from service.recording import recorded
from tests.service import story
from tests.service.terminal import CONTROL, Terminal, terminal

ENTER, LEAVE, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("runs") / "run.ndjson"
    body = {"messages": [{"role": "user", "content": story.PROMPT}]}
    list(recorded(story.events(), file, body))
    return file


def frames(shown: Terminal) -> Iterator[list[str]]:
    """The lines of every frame on the other screen."""
    inside = shown.written.partition(ENTER)[2].partition(LEAVE)[0]
    for frame in inside.split(HOME):
        if text := CONTROL.sub("", frame):
            yield text.split("\n")


def is_given_back(shown: Terminal) -> bool:
    """The terminal is on its first screen, with its cursor and without a style."""
    written = shown.written
    is_left = written.count(ENTER) == written.count(LEAVE) == 1
    return is_left and written.rfind(SHOW) > written.rfind(HIDE) and "Traceback" not in written


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (60, 24)])
def test_a_run_is_watched_without_flicker_and_its_last_frame_stays(columns: int, rows: int, saved: Path) -> None:
    with terminal("replay", str(saved), "--speed", "20", columns=columns, rows=rows) as shown:
        assert shown.end() == 0

    drawn = list(frames(shown))
    assert len(drawn) >= 8
    assert all(len(lines) == rows and max(map(cell_len, lines)) <= columns for lines in drawn)
    assert "\x1b[2J" not in shown.written  # a frame is written over the last one: nothing is erased in between
    assert "\x1b[2K" not in shown.written.partition(ENTER)[2].partition(LEAVE)[0]
    assert is_given_back(shown)
    last = CONTROL.sub("", shown.written.partition(LEAVE)[2])
    assert story.ANSWER in last
    assert "gives the answer" in last


def test_a_terminal_may_be_resized_meanwhile(saved: Path) -> None:
    with terminal("replay", str(saved), "--speed", "4", columns=120, rows=40) as shown:
        shown.wait_for("leads round 1")
        shown.resize(60, 20)
        assert shown.end() == 0

    *_, narrow = frames(shown)
    assert (len(narrow), max(map(cell_len, narrow))) == (20, 60)
    assert is_given_back(shown)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_broken_off_leaves_nothing_behind(sent: signal.Signals, code: int, saved: Path) -> None:
    with terminal("replay", str(saved)) as shown:
        shown.wait_for("round 1 · step")
        shown.send(sent)

        assert shown.end() == code
    assert is_given_back(shown)
    assert CONTROL.sub("", shown.written.partition(LEAVE)[2]).strip() == ""


def test_a_run_of_models_here_can_be_broken_off() -> None:
    """A thread is inside a model then, over which Python's own end may abort."""
    with terminal("run", story.PROMPT, "--watch", "--pace", "0.5") as shown:
        shown.wait_for("round 1 · step")
        shown.send(signal.SIGINT)

        assert shown.end() == 130
    assert is_given_back(shown)


def test_no_color_means_none(saved: Path) -> None:
    with terminal("replay", str(saved), "--speed", "50", NO_COLOR="1") as shown:
        assert shown.end() == 0

    styles = {code for each in re.findall(r"\x1b\[([\d;]*)m", shown.written) for code in each.split(";")}
    assert styles
    assert not {code for code in styles if code.isdigit() and 30 <= int(code) <= 107}


def test_a_terminal_that_can_do_nothing_is_told_in_lines(saved: Path) -> None:
    with terminal("replay", str(saved), TERM="dumb") as shown:
        assert shown.end() == 0

    assert "\x1b" not in shown.written
    assert f"answer: {story.ANSWER}" in shown.shown
