"""The benchmarks run from end to end on tiny models, and the page is what the archive says."""

import json
from pathlib import Path

import pytest

from bench.__main__ import ARCHIVE, DOCS, FOLDER, PAGE, main
from bench.archive import load_archive
from bench.modes import EXACT, MODES, Mode
from bench.page import page_with
from bench.suite import BENCHMARKS
from bench.targets import JUDGES


@pytest.mark.slow
@pytest.mark.timeout(600)  # a server process is started for each benchmark
def test_benchmarks_run_and_tell_what_they_found(tmp_path: Path) -> None:
    asked = ["--quick", "--threads", "1", "--out", str(tmp_path)]

    main([*asked, "--only", "concurrency,scores"])
    main([*asked, "--only", "crowd,concurrency", "--resume"])

    stored = json.loads((tmp_path / FOLDER / ARCHIVE).read_text(encoding="utf-8"))
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert list(stored) == ["concurrency", "crowd", "scores"]
    assert "| top1: exactly M^2 - M forwards a round more than tcc | 2.00 a round, M = 2 | yes |" in page
    assert "Quick scale: this shows that everything runs, and measures nothing." in page
    assert f"![concurrency]({FOLDER}/concurrency.svg)" in page
    assert (tmp_path / FOLDER / "concurrency.svg").exists()
    plots = [plot.relative_to(tmp_path) for plot in sorted((tmp_path / FOLDER).glob("*.svg"))]
    assert page == page_with(page, load_archive(tmp_path / FOLDER / ARCHIVE), plots)
    (served,) = stored["concurrency"]["samples"]["served 4"]
    (raw,) = stored["concurrency"]["samples"]["raw block 4"]
    assert served["num_tokens"] == raw["num_tokens"]
    assert sorted(served["prompt_tokens"]) == sorted(raw["prompt_tokens"])
    assert served["forwards"]["llada"]["decode"] == served["num_tokens"]


def test_the_page_is_what_the_archive_says() -> None:
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    plots = sorted((DOCS / FOLDER).glob("*.svg"))

    written = page_with(page, load_archive(DOCS / FOLDER / ARCHIVE), [plot.relative_to(DOCS) for plot in plots])

    assert page == written, "run `make bench BENCH_ARGS=--page-only`"


def test_what_is_judged_is_run() -> None:
    assert set(JUDGES) <= set(BENCHMARKS)
    assert all(run.__doc__ for run in BENCHMARKS.values())


def test_the_exact_mode_is_available_and_one_of_tomorrow_is_not() -> None:
    assert EXACT in MODES
    assert EXACT.is_available
    assert not Mode("of tomorrow", {"policy": "of_tomorrow"}).is_available
    assert not Mode("of tomorrow", {"option_of_tomorrow": True}).is_available


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "nothing"], "there is no benchmark nothing: there is concurrency"),
        (["--quick"], "name a folder for it with --out"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        main(words)
