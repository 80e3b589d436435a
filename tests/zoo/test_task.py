"""The task by hand-worked examples: every operation, the shape of an item, grading, the seeds."""

import pytest

from tie_core.zoo.task import (
    EXPERT_OPERATIONS,
    OPERATIONS,
    TEST_SEED,
    TRAIN_SEED,
    VALIDATION_SEED,
    Line,
    grade,
    item_of,
    make_items,
)


@pytest.mark.parametrize(
    ("name", "word", "result"),
    [
        ("rev", "314159", "951413"),
        ("rtl", "314159", "141593"),
        ("swp", "314159", "131495"),
        ("inc", "271829", "382930"),
        ("cmp", "271829", "728170"),
        ("dbl", "271829", "442648"),
        ("rtr", "314159", "931415"),
        ("hlf", "314159", "159314"),
        ("end", "314159", "914153"),
        ("dec", "271820", "160719"),
        ("tri", "271829", "613467"),
        ("add", "141421", "696976"),
    ],
)
def test_operation_gives_the_result_worked_by_hand(name: str, word: str, result: str) -> None:
    assert OPERATIONS[name](word) == result


def test_item_reads_as_documented() -> None:
    item = item_of([Line("rev", "314159"), Line("inc", "271828"), Line("add", "141421")])

    assert item.prompt == "rev 314159; inc 271828; add 141421"
    assert item.reasoning == " rev=951413 inc=382939 add=696976"
    assert item.answer == "951413382939696976"


def test_experts_share_the_operations_without_overlap() -> None:
    first, second = EXPERT_OPERATIONS.values()

    assert sorted(first + second) == sorted(OPERATIONS)
    assert len(first) == len(second) == 6


def test_every_item_needs_both_experts() -> None:
    for item in make_items(VALIDATION_SEED, 200):
        names = {line.split()[0] for line in item.prompt.split("; ")}
        assert all(names & set(group) for group in EXPERT_OPERATIONS.values())


def test_items_of_a_seed_are_the_same_every_time_and_in_any_number() -> None:
    assert make_items(VALIDATION_SEED, 50)[:20] == make_items(VALIDATION_SEED, 20)


def test_seeds_share_no_item() -> None:
    seeds = (TRAIN_SEED, VALIDATION_SEED, TEST_SEED)
    prompts = {item.prompt for seed in seeds for item in make_items(seed, 300)}

    assert len(prompts) == 900


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("951413382939696976", True),
        (" 951413 382939 696976\n", True),
        ("951413382939696975", False),
        ("95141338293969697", False),
        ("951413382939696976 and more", False),
        ("", False),
    ],
)
def test_grade_wants_all_digits_in_order(answer: str, is_right: bool) -> None:
    item = item_of([Line("rev", "314159"), Line("inc", "271828"), Line("add", "141421")])

    assert grade(item, answer) is is_right
