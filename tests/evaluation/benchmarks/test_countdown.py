"""Countdown: puzzles from a seed that have a solution, and expressions judged without running them."""

import itertools
from pathlib import Path

import pytest

from tie_core.evaluation.benchmarks.countdown import LARGEST, NUM_ITEMS, TASK, Puzzle, make_puzzles
from tie_core.evaluation.task import Item

ITEM = Item("countdown/0", "", Puzzle((3, 50, 5), 65))
TWICE = Item("countdown/1", "", Puzzle((4, 4, 8), 24))


def solutions(puzzle):
    for a, b, c in itertools.permutations(puzzle.numbers):
        for one, two in itertools.product("+-*/", repeat=2):
            yield f"({a}{one}{b}){two}{c}"
            yield f"{a}{one}({b}{two}{c})"


def test_a_seed_always_makes_the_same_puzzles():
    puzzles = make_puzzles()

    assert puzzles == make_puzzles()
    assert make_puzzles(n=7) == puzzles[:7]
    assert make_puzzles(seed=1) != puzzles
    assert len(set(puzzles)) == len(puzzles) == NUM_ITEMS


def test_every_puzzle_has_a_solution_that_is_no_number_of_it():
    items = TASK.load(Path("nowhere"))

    assert all(any(TASK.grade(item, text) for text in solutions(item.reference)) for item in items[:100])
    assert all(item.reference.target not in item.reference.numbers for item in items)
    assert all(1 <= number <= LARGEST for item in items for number in item.reference.numbers)


def test_the_prompt_names_the_numbers_and_the_target():
    item, *_ = TASK.load(Path("nowhere"))

    assert ", ".join(map(str, item.reference.numbers)) in item.prompt
    assert f"equals {item.reference.target}" in item.prompt
    assert item.id == "countdown/0"


@pytest.mark.parametrize(
    "answer",
    [
        "50 + 3 * 5",
        "3*5+50",
        "(50+(5*3))",
        "50 + 3 × 5",
        r"50 + 3 \times 5",
        r"$50 + 3 \cdot 5$",
        r"\boxed{50 + 3 * 5}",
        "50 + 3 * 5 = 65",
        "65 = 50 + 3 * 5",
        "50 + 3 x 5",
        "{3*5}+50",
        "50 + 3*5 (which is 65)",
        "50 + 3*5 (= 65)",
        "**3*5+50**",
        "`3*5+50`",
        "50 + 3* 5",
        "50 + 3 * 5.",
        "The answer is: 50 + 3 * 5",
        "\n[50] + 3*5\n\nThat is 65.",
    ],
)
def test_an_expression_of_all_numbers_that_equals_the_target_is_right(answer):
    assert TASK.grade(ITEM, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "65",
        "50 + 15",  # a number that is not there
        "50 + 5 + 5 + 5",  # used too often
        "50 + 3 * 5 + 0",
        "50 + 3",  # not all used
        "3 + 50 + 5",  # another value
        "50 / (3 - 3) * 5",
        "5 ** 3 - 50 - 5 - 5",
        "50 + 3 ** 5",
        "9 ** 9 ** 9 ** 9",
        "50 // 3 * 5",
        "50 % 3 * 5",
        "50 | 3 * 5",
        "3 << 50 << 5",
        "-50 + 3 * 5",
        "+50 + 3 * 5",
        "50.0 + 3 * 5",
        "5_0 + 3 * 5",
        "0x32 + 3 * 5",
        "٥٠ + 3 * 5",
        "50 + 3 * 5 if True else 0",
        "max(50, 3) + 3 * 5",
        "__import__('os').getcwd()",
        "(50, 3, 5)",
        "50 + (3 * 5",
        "50(3)(5)",
        "(" * 5000 + "50 + 3 * 5" + ")" * 5000,
        "(" * 95 + "50 + 3 * 5",
        "9" * 5000,
        "-" * 100_000 + "50 + 3 * 5",
        "1+" * 100_000 + "1",
        "50 + 3 * 5 and more",
        "65 = 65",
        "50 + 5 * 5 = 50 + 3 * 5",
        "fifty plus fifteen",
        "50 + 3 * 5\x00",
    ],
)
def test_anything_else_is_wrong_and_never_an_exception(answer):
    assert not TASK.grade(ITEM, answer)


def test_a_number_that_is_there_twice_is_used_twice():
    assert TASK.grade(TWICE, "8 + 4 * 4")
    assert not TASK.grade(TWICE, "8 * (4 - 1)")
    assert not TASK.grade(TWICE, "8 * 4 - 8")


def test_a_minus_sign_may_stand_in_front():
    assert TASK.grade(ITEM, "-(-50 - 3 * 5)")
    assert not TASK.grade(ITEM, "-50 - 3 * 5")


def test_fractions_are_exact():
    assert TASK.grade(Item("a", "", Puzzle((1, 3, 3), 9)), "3 / (1 / 3)")
    assert TASK.grade(Item("a", "", Puzzle((7, 3, 3), 7)), "7 / 3 * 3")
