"""The tutorials work to the letter: their files are written, their changes made and their commands run on a copy."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.examples import NOT_RUN, ROOT, TUTORIALS, Example, as_run, examples_of, reason
from tests.reliability.planting import copied


def title_of(example: Example) -> str | None:
    found = re.search(r'title="([^"]+)"', example.words)
    return found[1] if found else None


def changed(text: str, change: str) -> str:
    """A file's text after a change: lines that begin with + and -, among such as stay."""
    lines = [(line[:1], line[1:] + "\n") for line in change.splitlines()]
    old, new = ("".join(line for mark, line in lines if mark in (" ", "", kept)) for kept in "-+")
    assert text.count(old) == 1, f"these lines are not there, or more than once:\n{old}"
    return text.replace(old, new)


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with copied(ROOT) as tree:
        (tree / ".venv").symlink_to(sys.prefix)
        yield tree


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", TUTORIALS)
def test_the_tutorial_works_to_the_letter(document: str, tree: Path) -> None:
    ran = []
    for example in examples_of(document):
        if (title := title_of(example)) is not None:
            path = tree / title
            path.parent.mkdir(parents=True, exist_ok=True)
            is_change = example.language == "diff"
            path.write_text(changed(path.read_text("utf-8"), example.text) if is_change else example.text, "utf-8")
        elif example.language == "sh":
            ran += [run(as_run(command), tree) for command in example.commands if not reason(command, NOT_RUN)]

    assert len(ran) > 1


def run(command: str, tree: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tree, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
