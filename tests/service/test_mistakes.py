"""The common mistakes at the command line: one line that says what to do, and the exit code that scripts see."""

import io
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import READER
from tests.service.terminal import invoke, run_main


@pytest.fixture(autouse=True)
def somewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, and no settings around."""
    for variable in ("TIE_CONFIG", "TIE_API_KEY", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.toml").write_text("oops")
    (tmp_path / "unknown.toml").write_text("[server]\nprot = 1\n")
    (tmp_path / "missing.toml").write_text('[[models]]\nname = "mine"\npath = "nowhere"\n')
    (tmp_path / "text.txt").write_text("no events\n")
    return tmp_path


@pytest.fixture
def port_in_use() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


NOBODY = "http://127.0.0.1:1"
MISTAKES = [
    # the command line, the exit code, what is wrong, what to do
    ("show nonsense", 2, "neither a configured model", "zoo-llada"),
    ("run x --models nonsense", 2, "not nonsense", "name some of these"),
    ("run x --ensemble nonsense", 2, "there is no ensemble nonsense", "the configuration has tie"),
    ("run x --option tau", 2, "'tau' is no option", "give NAME=VALUE"),
    ("run x --watch --json", 2, "both want stdout", "give one of them"),
    (f"run x --server {NOBODY}", 1, "no TIE server answers", "tie serve"),
    (f"chat --server {NOBODY}", 1, "no TIE server answers", "tie serve"),
    (f"bench --server {NOBODY}", 1, "cannot be asked", "tie serve"),
    (f"eval zoo --items 2 --server {NOBODY}", 1, "cannot be asked", "tie serve"),
    ("serve --port PORT", 2, "cannot listen on 127.0.0.1:PORT", "choose another port with --port"),
    ("serve --host 0.0.0.0", 2, "reachable from other machines", "tie keys new"),
    ("serve --config nowhere.toml", 2, "cannot be read: No such file", "--config"),
    ("serve --config broken.toml", 2, "not valid TOML", "mend"),
    ("models --config unknown.toml", 2, "server.prot: unknown key", "the keys there are host, port"),
    ("run x --config missing.toml", 1, "nowhere is no folder", "download the checkpoint"),
    ("show mine --config missing.toml", 1, "nowhere is no folder", "download the checkpoint"),
    ("replay nowhere.ndjson", 2, "cannot be read", "tie run --save FILE"),
    ("replay text.txt", 2, "line 1 is not an event", "tie run --save FILE"),
    (f"run x --server {NOBODY} --save no/such/folder", 2, "cannot be written", "name another file"),
    ("eval nonsense", 2, "there is no task nonsense", "the tasks are zoo"),
    ("eval gsm8k", 2, "gsm8k needs one of data", "get it from"),
    ("eval zoo --plots", 2, "plots need matplotlib", ".venv/bin/pip install -e '.[eval]'"),
    ("bench --concurrency none", 2, "'none' is no list", "give 1,8,64"),
    ("keys new alice", 2, "no file to write", "give --file"),
]


@pytest.mark.parametrize(("line", "code", "wrong", "remedy"), MISTAKES, ids=[line for line, *_ in MISTAKES])
def test_a_mistake_is_one_line_with_its_remedy(
    line: str,
    code: int,
    wrong: str,
    remedy: str,
    port_in_use: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("one question for tie chat\n"))

    assert run_main(monkeypatch, *line.replace("PORT", port_in_use).split()) == code

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith("tie: ")
    assert wrong.replace("PORT", port_in_use) in told.err
    assert remedy in told.err


@pytest.mark.parametrize("prompt", ["", "  \n"])
@pytest.mark.parametrize("whom", [(), ("--server", NOBODY)])
def test_an_empty_prompt_is_refused_before_anybody_is_asked(
    prompt: str, whom: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "run", prompt, *whom) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "tie: the prompt is empty: write what the models are to answer, in quotes\n"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("run x --wach", "--watch"),
        ("run", "PROMPT"),
        ("serv", "serve"),
        ("run x --interval many", "--interval"),
        ("replay x --speed 0", "--speed"),
    ],
)
def test_what_is_no_command_line_says_which_part_and_names_the_help(
    line: str, wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, *line.split()) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert wrong.lower() in told.err.lower()
    assert "--help" in told.err


def test_an_interrupted_command_says_so_by_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("service.commands.describe.load_settings", interrupted)

    assert run_main(monkeypatch, "models") == 130


def test_a_thread_inside_a_model_does_not_abort_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    leave = threading.Event()
    inside = threading.Thread(target=leave.wait, name=READER)
    monkeypatch.setattr(os, "_exit", ended.append)
    inside.start()
    try:
        code = run_main(monkeypatch, "replay", "nowhere.ndjson")
    finally:
        leave.set()
        inside.join()

    assert ended == [code] == [2]
    assert run_main(monkeypatch, "version") == 0
    assert ended == [2]


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("models", {"models", "ensembles"}),
        ("show zoo-llada", {"name", "family", "shape", "tokenizer", "memory", "files", "device", "dtype"}),
        ("doctor", {"devices", "models", "relays", "missing", "problems", "advice", "threads", "planned_positions"}),
        ("config", {"file", "client_key", "settings"}),
        ("config --check", {"valid", "problem"}),
        ("keys new alice --file keys.toml", {"name", "file", "key"}),
    ],
)
def test_json_is_one_object_with_these_keys(line: str, keys: set[str]) -> None:
    result = invoke(*line.split(), "--json")

    assert result.exit_code == 0
    assert keys <= json.loads(result.stdout).keys()


def test_serve_says_its_address_to_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    from service import server

    def serve(settings: object, *, announce: object) -> int:
        announce("http://127.0.0.1:4242")  # type: ignore[operator]
        return 0

    monkeypatch.setattr(server, "serve", serve)

    assert json.loads(invoke("serve", "--port", "0", "--json").stdout) == {"url": "http://127.0.0.1:4242"}
