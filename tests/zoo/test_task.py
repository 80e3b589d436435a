"""The task by hand-worked examples: every operation, the shape of an item, grading, the seeds, who knows what."""

import random
from itertools import combinations

import pytest

from tie_core.zoo import MEMBERS
from tie_core.zoo.items import make_items
from tie_core.zoo.skills import EXPERT_OPERATIONS, FAMILIES, OPERATIONS
from tie_core.zoo.tables import TABLES
from tie_core.zoo.task import TEST_SEED, TRAIN_SEED, VALIDATION_SEED, Family, Line, Sheet, grade, item_of
from tie_core.zoo.tracing import TRACING

RECORDS = "314159271828141421"


def line(name: str, operand: str | None) -> Line:
    return Line(name, OPERATIONS[name], operand)


WORKSHEET = Sheet(
    ("rev ", "314159", "; inc ", "271828", "; add ", "------"),
    (line("rev", "314159"), line("inc", "271828"), line("add", None)),
)


@pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


@pytest.mark.parametrize(
    ("name", "operand", "result"),
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
        ("fst", RECORDS, "314159"),
        ("mid", RECORDS, "271828"),
        ("lst", RECORDS, "141421"),
        ("top", RECORDS, "312714"),
        ("med", RECORDS, "411814"),
        ("low", RECORDS, "592821"),
    ],
)
def test_operation_gives_the_result_worked_by_hand(name: str, operand: str, result: str) -> None:
    assert OPERATIONS[name](operand) == result


def test_worksheet_reads_as_documented() -> None:
    item = item_of(WORKSHEET)

    assert item.prompt == "rev 314159; inc 271828; add ------"
    assert item.reasoning == " rev=951413 inc=382939 add=837484"
    assert item.answer == "951413382939837484"
    assert item.is_chained


def test_questions_read_as_documented() -> None:
    sheet = TABLES.draw(random.Random(1), ["low", "fst"], 1.0)
    item = item_of(sheet)
    table, *questions = item.prompt.split("; ")
    first, second, third = table.split(" ")

    assert questions == ["low", "fst"]
    assert item.answer == first[4:] + second[4:] + third[4:] + first
    assert (item.num_lines, item.is_chained) == (2, False)


def test_a_drawn_chain_works_on_the_result_above() -> None:
    sheet = TRACING.draw(random.Random(1), ["rev", "rev", "inc"], 1.0)
    word = sheet.pieces[1]

    assert "".join(sheet.pieces) == f"rev {word}; rev ------; inc ------"
    assert sheet.results()[1] == word
    assert sheet.results()[2] == OPERATIONS["inc"](word)


def test_each_member_knows_half_and_each_pair_lacks_what_the_third_alone_knows() -> None:
    assert tuple(EXPERT_OPERATIONS) == MEMBERS
    assert set().union(*EXPERT_OPERATIONS.values()) == set(OPERATIONS)
    for own in EXPERT_OPERATIONS.values():
        assert len(own) == len(OPERATIONS) / 2
    for first, second in combinations(EXPERT_OPERATIONS.values(), 2):
        assert len(first & second) == len(OPERATIONS) / 6
        assert len(first | second) == len(OPERATIONS) * 5 / 6


def test_no_item_is_all_of_one_members_own(family: Family) -> None:
    for item in make_items(VALIDATION_SEED, 200, family):
        names = {slot.split("=")[0] for slot in item.reasoning.split()}
        assert not any(names <= own for own in EXPERT_OPERATIONS.values())


def test_items_vary_in_lines_and_chains() -> None:
    items = make_items(VALIDATION_SEED, 400)

    assert (
        0.55 < sum(item.num_lines == 3 for item in items) / len(items) < 0.75
    )  # two lines are one member's own more often
    assert 0.3 < sum(item.is_chained for item in items) / len(items) < 0.5
    assert not any(item.is_chained for item in make_items(VALIDATION_SEED, 400, TABLES))


def test_items_of_a_seed_are_the_same_every_time_and_in_any_number(family: Family) -> None:
    assert make_items(VALIDATION_SEED, 50, family)[:20] == make_items(VALIDATION_SEED, 20, family)


def test_seeds_share_no_item(family: Family) -> None:
    seeds = (TRAIN_SEED, VALIDATION_SEED, TEST_SEED)
    prompts = {item.prompt for seed in seeds for item in make_items(seed, 300, family)}

    assert len(prompts) == 900


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("951413382939837484", True),
        (" 951413 382939 837484\n", True),
        ("951413382939837485", False),
        ("95141338293983748", False),
        ("951413382939837484 and more", False),
        ("", False),
    ],
)
def test_grade_wants_all_digits_in_order(answer: str, is_right: bool) -> None:
    assert grade(item_of(WORKSHEET), answer) is is_right
