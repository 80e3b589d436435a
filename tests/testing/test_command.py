"""`python -m tie_core.testing`, and that the kit needs nothing which only our tests have."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.members import GOLDEN
from tests.testing.plants import PLANTS, planted
from tie_core.testing import FAMILY_CHECKS, SCORE_CHECKS, __main__
from tie_core.testing.checking import summary_of
from tie_core.testing.folders import peak_bytes

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
DEVELOPMENT = {"pytest", "_pytest", "hypothesis", "jsonschema"}


def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, list[str]]:
    monkeypatch.setattr(sys, "argv", ["tie_core.testing", *words])
    status = __main__.main()
    return status, capsys.readouterr().out.splitlines()


def test_a_family_is_told_check_by_check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = str(GOLDEN / "dream_forward.safetensors")

    status, lines = command(capsys, monkeypatch, str(GOLDEN / "dream-tiny"), "--recorded", recorded)

    assert status == 0
    assert [line[13:26].strip() for line in lines] == list(FAMILY_CHECKS)
    assert {line[:11].strip() for line in lines} == {"holds", "not checked"}
    assert [line for line in lines if line.startswith("not")] == [
        "not checked  known reply  give a prompt and the reply that the model should know"
    ]


def test_what_is_broken_ends_with_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = planted(PLANTS["shapes"]["not [3, 544]"], monkeypatch)
    monkeypatch.setattr(__main__, "load_specimen", lambda *_: specimen)

    status, lines = command(capsys, monkeypatch, "somewhere")

    assert status == 1
    assert "broken       shapes       three predicted positions are [3, 543], not [3, 544]" in lines


def test_a_score_is_told_check_by_check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    status, lines = command(capsys, monkeypatch, "--score", "tcc")

    assert (status, [line.split() for line in lines]) == (0, [["holds", name] for name in SCORE_CHECKS])


def test_a_folder_that_cannot_be_loaded_says_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["tie_core.testing", str(tmp_path)])

    assert __main__.main() == 2
    assert "config.json is missing: download the complete checkpoint" in capsys.readouterr().err


def test_a_prompt_without_its_reply_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    with pytest.raises(SystemExit):
        command(capsys, monkeypatch, str(GOLDEN / "dream-tiny"), "--prompt", "rev 314159")

    assert "--prompt and --reply go together" in capsys.readouterr().err


def test_the_kit_imports_nothing_that_only_our_tests_have() -> None:
    program = "import sys, tie_core.testing; print(*sorted(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not {name.partition(".")[0] for name in done.stdout.split()} & DEVELOPMENT


def test_what_torch_logs_of_its_profiler_does_not_reach_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINETO_LOG_LEVEL", raising=False)
    command = [sys.executable, "-m", "tie_core.testing", str(GOLDEN / "dream-tiny")]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "footprint" in done.stdout
    assert done.stderr == ""


def test_the_kit_as_a_library_leaves_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINETO_LOG_LEVEL", raising=False)

    peak_bytes(lambda: torch.ones(99))

    assert "KINETO_LOG_LEVEL" not in os.environ


@pytest.mark.parametrize(("heading", "checks"), [("A model family", FAMILY_CHECKS), ("A score", SCORE_CHECKS)])
def test_the_page_lists_every_check_in_its_own_words(heading: str, checks: dict[str, Any]) -> None:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]

    rows = [line for line in section.splitlines() if line.startswith("| `")]

    assert rows == [f"| `{name}` | {summary_of(check)} |" for name, check in checks.items()]
    assert all("Source: " in " ".join(str(check.__doc__).split()) for check in checks.values())
