"""Multiple choice: ARC-Challenge, WinoGrande and MMLU from small files in their formats."""

import csv

import pytest

from tests.evaluation.benchmarks.published import BYTE_ORDER_MARK, write, write_lines
from tie_core.errors import TaskError
from tie_core.evaluation.benchmarks import TASKS, mmlu

ARC = [
    {
        "id": "Ours_1",
        "question": {
            "stem": "What melts at 0 °C?",
            "choices": [
                {"text": word, "label": label} for word, label in zip(("iron", "ice", "gold"), "123", strict=True)
            ],
        },
        "answerKey": "2",
    },
    {
        "id": "Ours_2",
        "question": {
            "stem": "Which one flies?",
            "choices": [
                {"text": word, "label": label}
                for word, label in zip(("cow", "pig", "owl", "cat", "ant"), "ABCDE", strict=True)
            ],
        },
        "answerKey": "C",
    },
]
WINOGRANDE = [
    {"qID": "ours-1", "sentence": "The mug did not fit in the box, since the _ was large.", "option1": "mug",
     "option2": "box", "answer": "1"},
    {"qID": "ours-2", "sentence": "The mug did not fit in the box, since the _ was small.", "option1": "mug",
     "option2": "box", "answer": "2"},
]  # fmt: skip


def arc(folder, records=ARC):
    write_lines(folder / "ARC-Challenge-Test.jsonl", records, end="\r\n", mark=BYTE_ORDER_MARK)
    return TASKS["arc_challenge"].load(folder)


def winogrande(folder, records=WINOGRANDE):
    write_lines(folder / "winogrande" / "dev.jsonl", records)
    return TASKS["winogrande"].load(folder)


def write_mmlu(folder, subjects, rows):
    folder.mkdir(parents=True, exist_ok=True)
    for subject in subjects:
        with (folder / f"{subject}_test.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


ROWS = [["One, two or\nthree?", "1", "2", "3", "", "C"], ['A "word"', "a", "b", "c", "d", "A"]]


def test_arc_choices_are_lettered_anew_whatever_their_labels(tmp_path):
    first, second = arc(tmp_path)

    assert (first.id, second.id) == ("arc_challenge/Ours_1", "arc_challenge/Ours_2")
    assert "What melts at 0 °C?\n\nA. iron\nB. ice\nC. gold" in first.prompt
    assert TASKS["arc_challenge"].grade(first, "B")
    assert not TASKS["arc_challenge"].grade(first, "2")
    assert [answer for answer in "ABCDE" if TASKS["arc_challenge"].grade(second, answer)] == ["C"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answerKey": "D"}, "'answerKey' is not the label of one choice"),
        ({"question": {"stem": "?", "choices": []}}, "'answerKey' is not the label"),
        ({"question": {"stem": "?", "choices": [{"text": "x", "label": "2"}]}}, "1 choices"),
        ({"question": {"stem": "?", "choices": [{"text": "x"}]}}, "'label' is not text"),
        ({"question": "?"}, "'question' is not an object"),
        ({"id": "Ours_2"}, "Ours_2 is there twice"),
    ],
)
def test_a_malformed_arc_line_is_told(tmp_path, change, told):
    with pytest.raises(TaskError, match=rf"ARC-Challenge-Test\.jsonl, line .*{told}"):
        arc(tmp_path, [ARC[0] | change, ARC[1]])


def test_winogrande_asks_for_one_of_two(tmp_path):
    first, second = winogrande(tmp_path)

    assert first.id == "winogrande/ours-1"
    assert "the _ was large.\n\nA. mug\nB. box" in first.prompt
    assert [TASKS["winogrande"].grade(item, answer) for item in (first, second) for answer in "AB"] == [
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer": "3"}, "'answer' is neither '1' nor '2'"),
        ({"answer": ""}, "'answer' is empty"),
        ({"sentence": "No blank."}, r"'sentence' has no blank \(_\)"),
    ],
)
def test_a_malformed_winogrande_line_is_told(tmp_path, change, told):
    with pytest.raises(TaskError, match=rf"dev\.jsonl, line 2: .*{told}"):
        winogrande(tmp_path, [WINOGRANDE[0], WINOGRANDE[1] | change])


@pytest.mark.parametrize("name", ["arc_challenge", "winogrande", "mmlu", "mmlu35"])
def test_missing_files_are_told_with_their_source(tmp_path, name):
    with pytest.raises(TaskError, match=r"get (it|them) from"):
        TASKS[name].load(tmp_path)


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [("A", True), ("(a)", True), ("The answer is A", True), ("A. mug", True), ("a. mug", True), ("A or B", False),
     ("C", False), ("b. mug", False),
     ("mug", False), ("", False), ("\x00", False)],
)  # fmt: skip
def test_a_choice_is_judged_by_its_letter(tmp_path, answer, is_right):
    assert TASKS["winogrande"].grade(winogrande(tmp_path)[0], answer) == is_right


@pytest.mark.parametrize("place", ["mmlu/data/test", "mmlu/test", "mmlu", "data/test", "test", "."])
def test_mmlu_has_57_subjects_and_tells_items_by_them(tmp_path, place):
    write_mmlu(tmp_path / place, mmlu.SUBJECTS, ROWS)

    items = TASKS["mmlu"].load(tmp_path)

    assert len(items) == 57 * len(ROWS)
    assert len({item.id for item in items}) == len(items)
    assert items[0].id == "mmlu/abstract_algebra/0"
    assert items[0].group == "abstract_algebra"
    assert "One, two or\nthree?\n\nA. 1\nB. 2\nC. 3\nD. " in items[0].prompt
    assert [TASKS["mmlu"].grade(item, "C") for item in items[:2]] == [True, False]


def test_our_35_subjects_are_all_but_stem_and_professional_exams(tmp_path):
    write_mmlu(tmp_path, mmlu.SUBJECTS_35, ROWS)

    groups = {item.group for item in TASKS["mmlu35"].load(tmp_path)}

    assert len(groups) == 35
    assert groups == set(mmlu.SUBJECTS) - set(mmlu.STEM) - set(mmlu.PROFESSIONAL)
    assert len(mmlu.SUBJECTS) == 57


def test_a_subject_without_a_file_is_told(tmp_path):
    write_mmlu(tmp_path / "test", mmlu.SUBJECTS[1:-1], ROWS)

    with pytest.raises(TaskError, match=r"and abstract_algebra_test\.csv, world_religions_test\.csv are not there"):
        TASKS["mmlu"].load(tmp_path)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("q,1,2,3,4,E", "the last column is not A, B, C or D"),
        ("q,1,2,3,4", "5 columns where 6"),
        (",1,2,3,4,A", "empty"),
    ],
)
def test_a_malformed_mmlu_row_is_told(tmp_path, row, told):
    write_mmlu(tmp_path, mmlu.SUBJECTS, ROWS)
    write(tmp_path / "virology_test.csv", f"q,1,2,3,4,A\n{row}\n")

    with pytest.raises(TaskError, match=rf"virology_test\.csv, row 2: .*{told}"):
        TASKS["mmlu"].load(tmp_path)
