"""Shell completion, by bash itself: what the script that `tie` prints offers for half-written commands."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from service import parameters
from tests.service.terminal import PROGRAM, ROOT
from tie_core import zoo
from tie_core.evaluation.named import TABLES
from tie_core.evaluation.tasks import TASKS
from tie_core.options import Task

BASH = shutil.which("bash") or "bash"
COMPLETE = """
source "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_tie_completion tie
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def tie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command as a program of its own."""
    program = tmp_path_factory.mktemp("bin") / "tie"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    script = subprocess.run(
        [BASH, "--norc", "-c", f"{program} --show-completion; true"], capture_output=True, text=True, check=True
    )
    (program.parent / "script").write_text(script.stdout)
    return program


def completed(tie: Path, *words: str, **variables: str) -> set[str]:
    path = f"{tie.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "TIE_CONFIG"}
    done = subprocess.run(
        [BASH, "--norc", "-c", COMPLETE, "bash", "tie", *words],
        env=environment | {"PATH": path, "SCRIPT": str(tie.parent / "script")} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split("\n")) - {""}


def test_bash_completes_commands(tie: Path) -> None:
    assert {"serve", "run", "chat", "models", "show", "bench", "eval", "replay", "doctor", "config"} <= completed(
        tie, ""
    )


def test_bash_completes_the_models_of_the_configuration(tie: Path, tmp_path: Path) -> None:
    config = tmp_path / "tie.toml"
    config.write_text('[[models]]\nname = "mine"\npath = "/nowhere"\n[[models]]\nname = "other"\npath = "/nowhere"\n')

    assert completed(tie, "show", "") == set(zoo.MEMBERS)
    assert completed(tie, "show", "", TIE_CONFIG=str(config)) == {"mine", "other"}
    assert completed(tie, "run", "--config", str(config), "--models", "mine,") == {"mine,other"}
    assert completed(tie, "chat", "--ensemble", "") == {"tie"}


def test_bash_completes_tasks(tie: Path) -> None:
    assert completed(tie, "run", "--task", "") == set(get_args(Task))
    assert completed(tie, "eval", "gsm") == {"gsm8k"}


def test_nothing_is_offered_where_the_configuration_cannot_be_read(tie: Path) -> None:
    assert completed(tie, "show", "", TIE_CONFIG="/nowhere.toml") == set()
    assert completed(tie, "run", "--server", "http://127.0.0.1:1", "--ensemble", "") == set()


def test_what_is_completed_for_eval_is_what_there_is() -> None:
    assert tuple(TASKS) == parameters.EVALUATED
    assert tuple(TABLES) == parameters.TABLES
