"""`tie eval`, from the words on the command line to the files: here, against a real server, and broken off."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import loading
from service.cli import app, main
from service.evaluation import progress, server_side
from service.keys import add_key
from service.settings import AuthSettings, LimitSettings, Settings
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import serving
from tie_core.zoo import MEMBERS

SMALL = ("--items", "4", "--conditions", "post,tcc,top1")


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> FakeLoader:
    for variable in ("TIE_CONFIG", "TIE_API_KEY", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    loader = FakeLoader()
    monkeypatch.setattr(loading, "load", loader)
    return loader


def evaluated(out: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["eval", "zoo", *SMALL, "--out", str(out), *arguments], catch_exceptions=False)


def records(path: Path) -> list[dict[str, Any]]:
    """Without their times, in one order."""
    told = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return sorted(({**each, "seconds": 0} for each in told), key=lambda each: (each["condition"], each["item"]))


def test_a_report_is_written_and_its_right_answers_are_printed(tmp_path: Path) -> None:
    result = evaluated(tmp_path)

    assert result.exit_code == 0
    report = (tmp_path / "report.md").read_text()
    assert "| TIE, top1 |" in report
    assert "Made by `tie eval zoo --conditions post,tcc,top1 --items 4`" in report
    (row,) = re.findall(r"^TIE, top1 +(\S+ \[.*?\]) ", result.stdout, re.MULTILINE)
    assert f"| TIE, top1 | {row} |" in report
    assert result.stdout.startswith("zoo, Right answers: 4 items\n")
    assert "  not told apart: TIE, tcc; TIE, top1\n" in result.stdout
    assert result.stdout.endswith(f"the report: {tmp_path / 'report.md'}\n")
    assert len(records(tmp_path / "zoo.all.jsonl")) == 3 * 4
    assert "zoo: 12 of 12, 0 min left" in result.stderr


def test_what_sets_conditions_apart_is_printed_at_any_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    parts = [f"score=commit models={name}" for name in MEMBERS[:2]]

    told = evaluated(tmp_path, "--conditions", ";".join(parts), "--choose", "2").stdout

    assert all(f"models={name}" in "".join(told.split()) for name in MEMBERS[:2])
    assert "zoo, What was chosen among: 2 items" in told


def test_another_table_is_printed_with_its_right_answers(tmp_path: Path) -> None:
    told = evaluated(tmp_path, "--table", "selection").stdout

    assert told.startswith("zoo, Final rule (table 10): 4 items\n")
    assert re.search(r"^most_selected +\d", told, re.MULTILINE)


def test_a_terminal_is_shown_a_bar_and_the_time_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")

    told = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", evaluated(tmp_path).stderr)

    assert re.search(r"zoo: TIE, t\w+ +━+ +12/12 +0:00:00", told)


def test_json_is_the_same_in_the_folder_and_on_stdout(tmp_path: Path) -> None:
    told = json.loads(evaluated(tmp_path, "--json").stdout)

    assert told == json.loads((tmp_path / "report.json").read_text())
    (chapter,) = told["tasks"]
    assert (chapter["task"], chapter["items"]) == ("zoo", {"main": 4})
    assert set(chapter["of"]["members"]) == set(MEMBERS)
    assert chapter["of"]["items"]["seed"] == 0


def test_the_same_command_goes_on_behind_a_line_that_was_broken_off(tmp_path: Path, no_weights: FakeLoader) -> None:
    evaluated(tmp_path)
    file = tmp_path / "zoo.all.jsonl"
    whole = records(file)
    file.write_bytes(file.read_bytes()[:-1_500])

    result = evaluated(tmp_path)

    (num_missing,) = re.findall(r"zoo: (\d+) of \1, ", result.stderr)
    assert 0 < int(num_missing) < 12
    assert records(file) == whole
    assert "everything is answered already" in evaluated(tmp_path).stderr


def test_a_run_that_is_broken_off_says_how_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_off(name: str, work: Any, records: Iterator[Any], at_once: int) -> Iterator[Any]:
        yield next(records)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(progress, "track", broken_off)
        result = evaluated(tmp_path)

    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr
    assert "zoo: 11 of 11, " in evaluated(tmp_path).stderr


def test_records_under_other_options_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tie", "eval", "zoo", *SMALL, "--out", str(tmp_path), "--option", "k=2"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert "options.k: there 1, now 2" in capsys.readouterr().err


def test_a_page_elsewhere_has_its_plots_beside_it(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "results.md"

    evaluated(tmp_path / "out", "--page", str(page), "--plots")

    assert "![Right answers](results/zoo-main.svg)" in page.read_text()
    assert (tmp_path / "docs" / "results" / "zoo-main.svg").exists()
    assert not (tmp_path / "out" / "report.md").exists()


def test_every_page_of_a_folder_has_figures_of_its_own(tmp_path: Path) -> None:
    main = evaluated(tmp_path, "--page", str(tmp_path / "main.md"), "--json").stdout
    evaluated(tmp_path, "--page", str(tmp_path / "rule.md"), "--table", "selection")

    assert (tmp_path / "main.json").read_text() == main
    assert '"name": "selection"' in (tmp_path / "rule.json").read_text()
    assert "### Final rule" in (tmp_path / "rule.md").read_text()
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize("name", ["page.json", "page.JSON"])
def test_a_page_with_the_name_of_its_figures_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tie", "eval", "zoo", *SMALL, "--out", str(tmp_path), "--page", str(tmp_path / name)]
    monkeypatch.setattr(sys, "argv", words)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert "--page is Markdown" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_server_gives_the_answers_that_the_models_give_here(
    tmp_path: Path, no_weights: FakeLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two places for six requests at a time: most are refused at first, with 503."""
    monkeypatch.setattr(server_side, "LONGEST_WAIT", 0.1)
    loader, limits = FakeLoader(), LimitSettings(max_running=1, max_waiting=1)
    with serving(Settings(limits=limits), loader) as served:
        loader.faults.seconds = 0.001
        result = evaluated(tmp_path / "there", "--server", served.url, "--at-once", "6")
        num_refused = served.metric("tie_admission_rejections_total", reason="queue_full")
    evaluated(tmp_path / "here")

    assert result.exit_code == 0
    assert num_refused > 0
    assert no_weights.loaded is not None  # for the answers here, and not before
    assert records(tmp_path / "there" / "zoo.all.jsonl") == records(tmp_path / "here" / "zoo.all.jsonl")


def test_a_key_reaches_the_server_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys.toml"
    key = add_key(keys, "alice")
    monkeypatch.setenv("TIE_API_KEY", key)
    with serving(fake_settings(auth=AuthSettings(keys_file=keys)), FakeLoader()) as served:
        result = evaluated(tmp_path / "out", "--server", served.url)

    written = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert result.exit_code == 0
    assert key not in written + result.stdout + result.stderr
    assert served.url not in written


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "there is no task nonsense: the tasks are zoo"),
        (["zoo", "--page", "eval/report.json"], "--page is Markdown"),
        (["zoo", "--table", "nonsense"], "there is no table nonsense: the tables are main"),
        (["zoo", "--conditions", "nonsense"], "there is no condition 'nonsense'"),
        (["zoo", "--option", "tau"], "'tau' is no option: give NAME=VALUE"),
        (["zoo", "--option", "tau=2"], "tau is a number above 0"),
        (["zoo", "--ensemble", "other"], "there is no ensemble other"),
        (["zoo", "--conditions", "chosen"], "needs --choose"),
        (["gsm8k", "--data", "nowhere"], "gsm8k needs one of nowhere"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_exit_code_2(
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["tie", "eval", *arguments, "--out", str(tmp_path)])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
