"""GSM8K: the published lines become items, and answers are held against the number behind the four marks."""

import pytest

from tests.evaluation.benchmarks.published import BYTE_ORDER_MARK, write_lines
from tie_core.errors import TaskError
from tie_core.evaluation.benchmarks.gsm8k import TASK

RECORDS = [
    {"question": "Zoë buys 3 pens at $400 each. What does she pay?", "answer": "3*400=<<3*400=1200>>1200\n#### 1,200"},
    {"question": "A well is 9 m deep. How high is its ground?", "answer": "It lies below.\n#### -9"},
]


def load(folder):
    write_lines(folder / "gsm8k" / "test.jsonl", RECORDS, end="\r\n", mark=BYTE_ORDER_MARK)
    return TASK.load(folder)


def test_every_line_becomes_an_item(tmp_path):
    first, second = load(tmp_path)

    assert (first.id, second.id) == ("gsm8k/0", "gsm8k/1")
    assert RECORDS[0]["question"] in first.prompt
    assert "Answer:" in first.prompt
    assert "1,200" not in first.prompt


@pytest.mark.parametrize("answer", ["1200", "1,200", "$1,200.00", "1200 dollars.", r"\boxed{1200}", "She pays = 1200"])
def test_the_right_number_is_right_however_it_is_written(tmp_path, answer):
    assert TASK.grade(load(tmp_path)[0], answer)


@pytest.mark.parametrize("answer", ["1201", "-1200", "", "1200.5", "twelve hundred", "3*400", "\x00", "9" * 9999])
def test_another_number_and_none_are_wrong(tmp_path, answer):
    assert not TASK.grade(load(tmp_path)[0], answer)


def test_the_sign_counts(tmp_path):
    item = load(tmp_path)[1]

    assert TASK.grade(item, "-9 m")
    assert not TASK.grade(item, "9 m")


@pytest.mark.parametrize("answer", ["1200", "#### many", "####1200"])
def test_a_line_without_its_number_is_told(tmp_path, answer):
    write_lines(tmp_path / "test.jsonl", [RECORDS[1], RECORDS[0] | {"answer": answer}])

    with pytest.raises(TaskError, match=r"test\.jsonl, line 2: 'answer' does not end in '#### ' and a number"):
        TASK.load(tmp_path)


def test_a_missing_file_is_told_with_its_source(tmp_path):
    with pytest.raises(TaskError, match=r"gsm8k/test\.jsonl.*openai/grade-school-math"):
        TASK.load(tmp_path)
