"""The list of seeded bugs is in order, and the trial tells a kill from everything else. `make mutants` runs them."""

import subprocess
from pathlib import Path

import pytest

from tests.reliability.mutant import Mutant
from tests.reliability.planting import ROOT, PlantingError, all_mutants, planted, run_tests, try_mutant

MUTANTS = all_mutants()
PRODUCT = "def add(a, b):\n    return a + b\n"
TESTS = """\
import time
import pytest
from product import add

def test_a_sum():
    assert add(2, 2) == 4

def test_another_thing():
    assert add

@pytest.fixture
def sum_of_nothing():
    assert add(0, 0) == 0

def test_with_a_fixture(sum_of_nothing):
    pass
"""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_seeded_bug_can_still_be_planted(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")

    changed = planted(mutant, text)
    if mutant.file.endswith(".py"):
        compile(changed, mutant.file, "exec")

    assert isinstance(mutant.tests, tuple)
    assert mutant.tests
    for test in mutant.tests:
        path, *names = test.split("::")
        assert not path.startswith("-"), "options of pytest are the runner's"
        assert all(f"def {name.partition('[')[0]}" in (ROOT / path).read_text(encoding="utf-8") for name in names)


def test_every_seeded_bug_has_its_own_name() -> None:
    names = [mutant.name for mutant in MUTANTS]

    assert len(set(names)) == len(names)


def test_a_bug_that_has_lost_its_place_is_told() -> None:
    gone = Mutant("gone", "product.py", "a * b", "a", ())
    twice = Mutant("twice", "product.py", "b", "a", ())

    for mutant in (gone, twice):
        with pytest.raises(PlantingError, match=mutant.name):
            planted(mutant, PRODUCT)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A product of one line."""
    (tmp_path / "product.py").write_text(PRODUCT)
    (tmp_path / "test_product.py").write_text(TESTS)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("new", "test", "verdict"),
    [
        ("a - b", "test_a_sum", "killed"),
        ("a - b", "test_another_thing", "survived"),
        ("a + b +", "test_a_sum", "broken"),
        ("1", "test_with_a_fixture", "broken"),
    ],
)
def test_only_a_failing_test_is_a_kill(tree: Path, new: str, test: str, verdict: str) -> None:
    mutant = Mutant("wrong sum", "product.py", "a + b", new, (f"test_product.py::{test}",))

    assert try_mutant(mutant, tree).verdict == verdict
    assert (tree / "product.py").read_text() == PRODUCT


def test_a_test_that_never_ends_is_no_kill(tree: Path) -> None:
    (tree / "test_slow.py").write_text("import time\n\ndef test_for_ever():\n    time.sleep(60)\n")

    assert run_tests(tree, ["test_slow.py"], seconds=0.1).verdict == "timed out"
