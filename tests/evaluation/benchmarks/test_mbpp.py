"""MBPP: both published files, from small ones of our own in their formats."""

import json

import pytest

from tests.evaluation.benchmarks.published import BYTE_ORDER_MARK, write, write_lines
from tie_core.errors import TaskError
from tie_core.evaluation.benchmarks.mbpp import TASK, TASK_SANITIZED

RECORD = {
    "task_id": 11,
    "text": "Write a function to greet somebody by name – Zoë, say.",
    "code": "def greet(name):\r\n    return 'Hello ' + name",
    "test_setup_code": "",
    "test_list": ["assert greet('Zoë') == 'Hello Zoë'", "assert greet('') == 'Hello '"],
    "challenge_test_list": [],
}
SANITIZED = {
    "source_file": "ours.py",
    "task_id": 2,
    "prompt": "Write a function to round up.",
    "code": "import math\ndef up(x):\n    return math.ceil(x)",
    "test_imports": ["import math"],
    "test_list": ["assert up(0.5) == math.ceil(0.5)"],
}


def load(folder, *records):
    write_lines(folder / "mbpp" / "mbpp.jsonl", list(records or [RECORD]), end="\r\n", mark=BYTE_ORDER_MARK)
    return TASK.load(folder)


def load_sanitized(folder, *records):
    write(folder / "mbpp" / "sanitized-mbpp.json", json.dumps(list(records or [SANITIZED])), mark=BYTE_ORDER_MARK)
    return TASK_SANITIZED.load(folder)


def test_of_all_problems_the_test_split_is_asked(tmp_path):
    items = load(tmp_path, *(RECORD | {"task_id": number} for number in (1, 10, 11, 510, 511, 974)))

    assert [item.id for item in items] == ["mbpp/11", "mbpp/510"]


def test_of_the_sanitized_ones_all_are_asked(tmp_path):
    items = load_sanitized(tmp_path, *(SANITIZED | {"task_id": number} for number in (2, 11, 600)))

    assert [item.id for item in items] == ["mbpp_sanitized/2", "mbpp_sanitized/11", "mbpp_sanitized/600"]


def test_the_prompt_shows_the_first_test_alone(tmp_path):
    (item,) = load(tmp_path)

    assert RECORD["text"] in item.prompt
    assert RECORD["test_list"][0] in item.prompt
    assert RECORD["test_list"][1] not in item.prompt


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        (RECORD["code"], True),
        ("def greet(name):\n    return f'Hello {name}'\n```\nThat is all.", True),
        ("```python\ndef greet(name):\n    return f'Hello {name}'\n```", True),
        ("def greet(name):\n    return 'Hello Zoë'", False),
        ("def greet(name):\n    return 'Hello ' + name\nimport sys\nsys.exit()", False),
        ("def salute(name):\n    return 'Hello ' + name", False),
        ("def greet(name)", False),
        ("Hello", False),
        ("", False),
    ],
)
def test_an_answer_is_judged_by_all_tests(tmp_path, answer, is_right):
    assert TASK.grade(load(tmp_path)[0], answer) == is_right


def test_what_the_tests_import_is_there_for_them(tmp_path):
    (item,) = load_sanitized(tmp_path)

    assert TASK_SANITIZED.grade(item, SANITIZED["code"])
    assert TASK_SANITIZED.grade(item, "def up(x):\n    return int(x) + (x > int(x))")
    assert not TASK_SANITIZED.grade(item, "def up(x):\n    return int(x)")


def test_setup_code_runs_behind_the_answer_that_it_uses(tmp_path):
    (item,) = load(
        tmp_path, RECORD | {"test_setup_code": "who = greet('you')", "test_list": ["assert who[-3:] == 'you'"]}
    )

    assert TASK.grade(item, RECORD["code"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task_id": "11"}, "'task_id' is not a whole number"),
        ({"test_list": []}, "'test_list' is empty"),
        ({"test_list": "assert True"}, "'test_list' is not a list of texts"),
        ({"text": None}, "'text' is not text"),
    ],
)
def test_a_malformed_line_is_told(tmp_path, changes, told):
    with pytest.raises(TaskError, match=rf"mbpp\.jsonl, line 2: .*{told}"):
        load(tmp_path, RECORD, RECORD | {"task_id": 12} | changes)


def test_a_malformed_entry_is_told(tmp_path):
    with pytest.raises(TaskError, match=r"sanitized-mbpp\.json, entry 1: .*'test_imports' is not a list of texts"):
        load_sanitized(tmp_path, SANITIZED | {"test_imports": ""})


@pytest.mark.parametrize(("task", "name"), [(TASK, "mbpp.jsonl"), (TASK_SANITIZED, "sanitized-mbpp.json")])
def test_a_missing_file_is_told_with_its_source(tmp_path, task, name):
    with pytest.raises(TaskError, match=rf"mbpp/{name}.*google-research"):
        task.load(tmp_path)
