"""MBPP: small functions from a sentence and an example, judged by assertions (Austin et al., arXiv 2108.07732).

Two tasks: `mbpp_sanitized` is the 427 problems that the authors checked by hand, whose accuracies are the ones that the
paper's can be (multiples of 1/427); `mbpp` is the test split of all (ids 11 to 510). The paper's prompt is not
published; this one is ours, zero-shot, with the first assertion as the example that tells the function's name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tie_core.evaluation import sandbox
from tie_core.evaluation.benchmarks.code import REQUEST, code_of, passes
from tie_core.evaluation.benchmarks.files import Files, Record, items_of, read_lines, read_list
from tie_core.evaluation.task import Item, Task, paper_options

FILES = Files("mbpp", ("mbpp.jsonl",), "google-research/google-research on GitHub, mbpp/mbpp.jsonl")
SANITIZED = Files(
    "mbpp", ("sanitized-mbpp.json",), "google-research/google-research on GitHub, mbpp/sanitized-mbpp.json"
)
TEST_IDS = range(11, 511)
PROMPT = "{text}\n\nThe function must pass this test:\n\n```python\n{example}\n```\n\n" + REQUEST


@dataclass(frozen=True, slots=True)
class Assertions:
    """Code that runs before the tests, and the tests, an assertion each."""

    setup: str
    tests: tuple[str, ...]


def load(folder: Path) -> tuple[Item, ...]:
    """The test split of mbpp.jsonl."""
    path = FILES.find(folder)
    records = (record for record in read_lines(path) if record.whole_number("task_id") in TEST_IDS)
    return items_of(path, records, lambda _, record: _item("mbpp", record, "text", record.any_text("test_setup_code")))


def load_sanitized(folder: Path) -> tuple[Item, ...]:
    """All of sanitized-mbpp.json."""
    path = SANITIZED.find(folder)
    return items_of(
        path,
        read_list(path),
        lambda _, record: _item("mbpp_sanitized", record, "prompt", "\n".join(record.texts("test_imports"))),
    )


def grade(item: Item, answer: str) -> bool:
    assert isinstance(item.reference, Assertions)
    return passes("\n".join((code_of(answer), item.reference.setup, *item.reference.tests)))


def _item(task: str, record: Record, text: str, setup: str) -> Item:
    tests = record.texts("test_list")
    if not tests:
        raise record.malformed("'test_list' is empty")
    prompt = PROMPT.format(text=record.text(text).strip(), example=tests[0])
    return Item(f"{task}/{record.whole_number('task_id')}", prompt, Assertions(setup, tests))


def _task(name: str, title: str, files: Files, read: Callable[[Path], tuple[Item, ...]]) -> Task:
    return Task(
        name, title, paper_options("code"), read, grade, source=files.source, runs_code=True, check=sandbox.check
    )


TASK = _task("mbpp", "MBPP, test split", FILES, load)
TASK_SANITIZED = _task("mbpp_sanitized", "MBPP, sanitized", SANITIZED, load_sanitized)
