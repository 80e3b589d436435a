"""Seeded bugs on trial: each one planted in a copy of the tree, where its tests must fail, and pass without it."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from tests.reliability.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
LIST_FOLDER = Path(__file__).parent / "mutants"
LONGEST_TRIAL = 240.0  # seconds; a bug that makes its tests wait so long is not one that they find

Verdict = Literal["killed", "survived", "timed out", "broken"]


class PlantingError(Exception):
    """A seeded bug that cannot be planted as it is written."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How one pytest run ended. `broken`: something other than a failing test, such as a module that cannot be read."""

    verdict: Verdict
    detail: str = ""


def all_mutants() -> list[Mutant]:
    """Those of every area, in the order of the files."""
    areas = sorted(path.stem for path in LIST_FOLDER.glob("*.py"))
    return [mutant for area in areas for mutant in importlib.import_module(f"tests.reliability.mutants.{area}").MUTANTS]


def planted(mutant: Mutant, text: str) -> str:
    """The file's text with the bug in it.

    Raises:
        PlantingError: what it replaces is not there exactly once, or nothing changes.
    """
    if (num := text.count(mutant.old)) != 1:
        raise PlantingError(f"{mutant.name}: its `old` is {num} times in {mutant.file}, not once")
    if mutant.old == mutant.new:
        raise PlantingError(f"{mutant.name}: `old` and `new` are the same")
    return text.replace(mutant.old, mutant.new)


def try_mutant(mutant: Mutant, root: Path = ROOT) -> Trial:
    """Run the mutant's tests on a copy of the tree with the bug in it."""
    with copied(root) as tree:
        path = tree / mutant.file
        path.write_text(planted(mutant, path.read_text(encoding="utf-8")), encoding="utf-8")
        return run_tests(tree, mutant.tests)


def try_unmutated(mutants: Iterable[Mutant], root: Path = ROOT) -> Trial:
    """Run all their tests on a copy without a bug: they are to pass."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    with copied(root) as tree:
        return run_tests(tree, tests, LONGEST_TRIAL * 4)


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """The files that git does not ignore, elsewhere, for as long as a trial takes."""
    with tempfile.TemporaryDirectory(prefix="tie-mutant-", ignore_cleanup_errors=True) as folder:
        tree = Path(folder)
        for name in kept_files(root):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, tree / name, follow_symlinks=False)
        yield tree


def kept_files(root: Path) -> Iterable[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def run_tests(tree: Path, tests: Sequence[str], seconds: float = LONGEST_TRIAL) -> Trial:
    """pytest in a process of its own, which imports nothing but the tree and the installed packages; of plugins, which
    take longer than most tests, only those that these tests are written for.
    """
    report = tree / "trial.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "pytest_timeout"]
    process = subprocess.Popen(
        [*command, "-o", "junit_family=legacy", f"--junitxml={report}", *tests],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return Trial("timed out", f"after {seconds:.0f} s")
    finally:  # the servers that the tests have started as well
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return judge(status, report)


def judge(status: int, report: Path) -> Trial:
    """Only a test that failed counts as a kill: no time-out of pytest's, no error outside a test.

    A negative status, a signal, is no matter once the report is there: threads that a bug left may abort the exit.
    """
    if status == 0:
        return Trial("survived")
    if status > 1 or not report.is_file():
        return Trial("broken", f"pytest ended with {status}")
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = [(case.get("name", ""), found) for case in cases if (found := case.find("failure")) is not None]
    if not failures:
        return Trial("broken", "an error outside the tests")
    name, failure = failures[0]
    if "pytest-timeout" in failure.get("message", ""):
        return Trial("timed out", name)
    return Trial("killed", name)
