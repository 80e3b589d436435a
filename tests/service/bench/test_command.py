"""`tie bench`: rows for what was asked, on the engine here or on a server, and one line for what cannot be."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.bench import engine_side, sides
from service.cli import app, main
from service.keys import add_key
from service.settings import AuthSettings
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import serving

SMALL = ("--requests", "3", "--gen-length", "8", "--block-size", "4")


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TIE_CONFIG", "TIE_API_KEY", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(engine_side, "load", FakeLoader())


def bench(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *SMALL, *arguments], catch_exceptions=False)


def test_the_engine_in_this_process_gives_a_row_for_each_load() -> None:
    result = bench("--concurrency", "1,3", "--arrivals", "0.01")

    assert result.exit_code == 0
    loads = re.findall(r"^engine +(\d at once|every 0.01 s) +3 ", result.stdout, re.MULTILINE)
    assert loads == ["1 at once", "3 at once", "every 0.01 s"]
    assert re.search(r"^prompts: \d+ to \d+ tokens", result.stdout, re.MULTILINE)


def test_json_has_what_was_asked_and_every_figure() -> None:
    told = json.loads(bench("--concurrency", "3", "--models", "zoo-dream", "--option", "k=2", "--json").stdout)

    (row,) = told["rows"]
    assert told["options"]["k"] == 2
    assert told["models"] == ["zoo-dream"]
    assert (row["side"], row["requests"], row["generated_tokens"]) == ("engine", 3, 24)
    assert row["cpu_ms_per_token"] > 0
    assert 1 <= row["mean_batch_rows"] <= 3


def test_a_task_brings_its_own_answer_region() -> None:
    told = json.loads(bench("--concurrency", "1", "--gen-length", "24", "--option", "task=general", "--json").stdout)

    assert "suffix" not in told["options"]


def test_a_server_and_another_one_are_asked_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "ask_openai", lambda client, model, max_tokens: sides.ask_tie(client, {}))
    with serving(fake_settings(), FakeLoader()) as served:
        result = bench("--server", served.url, "--openai", served.url, "--concurrency", "2", "--json")

    rows = json.loads(result.stdout)["rows"]
    assert [row["side"] for row in rows] == ["tie", "openai"]
    assert rows[0]["generated_tokens"] == 24
    assert rows[0]["mean_batch_rows"] >= 1


def test_a_server_that_asks_for_a_key_is_given_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.toml"
    key = add_key(file, "alice")
    monkeypatch.setenv("TIE_API_KEY", key)
    with serving(fake_settings(auth=AuthSettings(keys_file=file)), FakeLoader()) as served:
        result = bench("--server", served.url, "--concurrency", "2", "--json")

    (row,) = json.loads(result.stdout)["rows"]
    assert row["generated_tokens"] == 24
    assert row["mean_batch_rows"] >= 1  # of the metrics, which ask for the key as well
    assert key not in result.stdout + result.stderr


def test_progress_is_shown_in_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = bench("--concurrency", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")

    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", bench("--concurrency", "1").stderr)

    assert piped.stderr == ""
    assert "loading and measuring the models" in shown
    assert re.search(r"engine, 1 at once ━+ 3/3", shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concurrency", "0"], "'0' is no list of whole numbers above 0"),
        (["--concurrency", "1,,2"], "is no list of whole numbers"),
        (["--option", "top1"], "'top1' is no option: give NAME=VALUE"),
        (["--option", "nothing=1"], "nothing: unknown option"),
        (["--models", "other"], "models are one or more of zoo-llada, zoo-dream, zoo-qwen3"),
        (["--ensemble", "other"], "there is no ensemble other"),
    ],
)
def test_input_that_cannot_be_used_is_one_line_and_status_2(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tie", "bench", *SMALL, *arguments])

    with pytest.raises(SystemExit) as exit_info:
        main()

    assert exit_info.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
