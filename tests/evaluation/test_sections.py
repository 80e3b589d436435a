"""Grids: the same figures for people and for programs, and a sign beside the paper's."""

import pytest

from tie_core.evaluation.intervals import paired
from tie_core.evaluation.sections import (
    Difference,
    Figure,
    Grid,
    P,
    Points,
    Rate,
    Section,
    Share,
    Words,
    compared,
    effect,
    sign,
    standing,
)


def test_a_grid_is_markdown_and_data():
    found = compared([True] * 3, [False] * 3)
    grid = Grid(
        ("|x|", "right", "over", "p", "n"), ((Words("|A|"), Share(1, 2), Points(found), P(found), Figure(None)),)
    )

    header, _, line = grid.markdown().splitlines()
    assert header.startswith(r"| \|x\| | right |")
    assert line == r"| \|A\| | 50.0 [9.5, 90.5] | +100.0 [+100.0, +100.0] | 0.2500 | – |"
    (row,) = grid.data()["rows"]
    assert row[1]["num"] == 1
    assert row[1]["share"] == 0.5
    assert row[2]["difference"] == 1
    assert row[3:] == [0.25, None]


def test_a_share_of_nothing_is_no_share():
    assert Share(0, 0).text() == "–"
    assert Share(0, 0).data() == {"num": 0, "of": 0}


def test_a_rate_has_the_interval_of_its_runs():
    rate = Rate(((2, 4), (0, 4), (0, 0)))

    assert rate.text() == "25.0 [3.7, 74.4]"  # Wilson's of 0.75 of 3
    assert (rate.data()["num"], rate.data()["of"], rate.data()["share"]) == (2, 8, 0.25)
    assert Rate(((0, 0),)).text() == "–"
    assert Rate(((0, 0),)).data() == {"num": 0, "of": 0}


def test_figures_can_have_a_sign():
    assert Figure(1.126, 2, is_signed=True).text() == "+1.13"
    assert Figure(-0.3, 1).text() == "-0.3"


def test_a_difference_of_samples_that_do_not_vary_has_no_interval():
    assert Difference.of([2, 2], [1, 1]).text() == "+1.000"
    assert Difference.of([2, 2], [1, 1]).data() == {"value": 1, "interval": None}
    assert Difference.of([2], [1, 1]).text() == "–"


def test_equal_answers_are_not_compared():
    assert compared([True, False], [True, False]) is None
    assert compared([True], [False]) is None


def test_an_effect_stands_beside_the_papers():
    what, here, _, paper, agrees = effect("it", [True] * 9 + [False], [False] * 10, 1.13)

    assert (what.text(), paper.text(), agrees.text()) == ("it", "+1.13", "the same")
    assert here.paired.difference == 0.9


@pytest.mark.parametrize(
    ("first", "second", "published", "said"),
    [
        ("1111111111", "0000000000", 0.5, "the same"),
        ("1111111111", "0000000000", -0.5, "the opposite"),
        ("0000000000", "1111111111", -0.5, "the same"),
        ("1100000000", "0110000000", 0.5, "not told apart from 0"),
        ("1111000000", "0000000000", 0.5, "not told apart from 0"),  # p = 0.125, though a normal interval is above 0
        ("1111111111", "0000000000", None, "–"),
    ],
)
def test_signs_agree_only_where_p_is_small(first, second, published, said):
    one, other = ([digit == "1" for digit in digits] for digits in (first, second))

    assert sign(paired(one, other), published) == said


def test_the_same_items_are_no_difference_that_is_not_told_apart():
    assert sign(None, 0.5) == "the same items"
    assert standing([True] * 2, [True] * 2, "it") == "right on the same items as it"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("1111111111", "0000000000", "better than it (+100.0 [+100.0, +100.0] points, p 0.0020)"),
        ("0000000000", "1111111111", "**worse** than it (-100.0 [-100.0, -100.0] points, p 0.0020)"),
        ("1100000000", "0110000000", "not told apart from it (+0.0 [-29.2, +29.2] points, p 1.0000)"),
    ],
)
def test_where_one_stands_beside_another_is_said_with_the_interval(first, second, said):
    one, other = ([digit == "1" for digit in digits] for digits in (first, second))

    assert standing(one, other, "it") == said


def test_a_table_of_fewer_items_says_that_they_are_the_main_tables_first_ones():
    section = Section("x", "Title", "Note.", ())

    assert "\n100 items, the first of the main table's 1,000. Note.\n" in section.markdown(100, 1_000)
    assert "\n100 items. Note.\n" in section.markdown(100, 100)


def test_a_section_tells_its_items_note_grids_and_sentences():
    section = Section("x", "Title", "Note.", (Grid(("", "n"), ((Words("a"), Figure(1, 0)),)),), ("Said.",))

    assert section.markdown(1_000) == (
        "### Title\n\n1,000 items. Note.\n\n|  | n |\n| --- | ---: |\n| a | 1 |\n\n- Said.\n"
    )
    assert section.data()["tables"] == [{"columns": ["", "n"], "rows": [["a", 1]]}]
