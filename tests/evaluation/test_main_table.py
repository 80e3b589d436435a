"""The main table of three members, with figures worked by hand."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluation.answers import MEMBERS, post, ran, record, results, study
from tie_core.evaluation.conditions import POST, RANDOM, Condition, standard, tie_by
from tie_core.evaluation.main_table import NOTE, conditions, render

TCC = tie_by("tcc")
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAIRS = ("ann,bob", "bob,cat")
ASKED = study([TCC])
ALONE = ["100", "110", "010", "010", "000", "000"]  # ann 2, bob 3, cat 0; all fail the last two
POSTED = post(ALONE, "110000")
TIED = ran(TCC, "111110", led="aab", decode=8, score=1)


def grids(records=(*POSTED, *TIED), asked=ASKED, **changes):
    section = render(results(records, asked, **changes))
    return [{row[0].text(): row[1:] for row in grid.rows} for grid in section.grids], section


def test_the_post_generation_ensemble_is_always_there_and_first():
    assert conditions(study([TCC])) == conditions(study([TCC, POST])) == (POST, TCC)
    assert conditions(study()) == standard()


def test_rows_are_members_then_conditions_then_the_best_possible_choice():
    (answers, *_), _ = grids()

    assert list(answers) == [
        *(f"{name} alone" for name in MEMBERS),
        "post-generation ensemble",
        "TIE, tcc",
        "best possible choice among finished answers",
    ]
    assert [row[0].num for row in answers.values()] == [2, 3, 0, 2, 5, 4]


def test_a_row_is_paired_with_the_best_member_and_with_the_post_generation_ensemble():
    (answers, *_), section = grids()

    over_best, over_post, solved, forwards, to_score, seconds = (
        answers["TIE, tcc"][place] for place in (1, 3, 5, 6, 7, 8)
    )
    assert section.grids[0].header[2] == "over bob"
    assert (over_best.paired.only_first, over_best.paired.only_second) == (2, 0)
    assert (over_post.paired.only_first, over_post.paired.only_second) == (3, 0)
    assert (solved.value, forwards.value, to_score.value, seconds.value) == (1, 27, 3, 2.0)


def test_a_row_is_not_compared_with_itself():
    (answers, *_), _ = grids()

    assert answers["bob alone"][1].paired is None
    assert answers["post-generation ensemble"][3].paired is None


def test_rounds_leaders_and_stages_are_those_of_relayed_runs():
    (_, rounds, stages, *_), _ = grids()

    assert list(rounds) == ["TIE, tcc"]
    assert [round(figure.value, 1) for figure in rounds["TIE, tcc"]] == [3.0, 50.0, 0.0, 66.7, 33.3, 0.0]
    assert [figure.value for figure in stages["TIE, tcc: led by bob"]] == [0, 0, 100]


def test_groups_have_a_row_each_where_there_are_any():
    (*_, by_group), _ = grids(groups=("art", "law"))  # even items are art

    assert list(by_group) == ["art", "law"]
    assert [figure.value for figure in by_group["art"]] == pytest.approx(
        [3, *(100 / 3 * num for num in (1, 1, 0, 1, 3))]
    )


def test_the_papers_figures_stand_by_for_its_own_tasks():
    other = tie_by("tcc", "n = 4", interval=4)
    records = [*POSTED, *TIED, *ran(other, "111111")]

    (*_, published, gains), _ = grids(records, study([TCC, other], name="gsm8k"))

    assert published["TIE, tcc"][0].text() == "83.47"
    assert {name: (row[2].text(), row[3].text()) for name, row in gains.items()} == {
        "TIE, tcc over bob alone": ("+4.70", "not told apart from 0"),
        "TIE, tcc over post-generation ensemble": ("+3.18", "not told apart from 0"),
    }
    assert "the paper" not in [grid.header[0] for grid in grids()[1].grids]


def test_a_condition_that_was_chosen_has_a_verdict():
    num = 40
    alone, right = ["010"] * 10 + ["000"] * 30, "1" * 10 + "0" * 30
    records = [*post(alone, right), *ran(TCC, "1" * 35 + "0" * 5)]

    (answers, *_), section = grids(records, study([TCC], TCC))

    assert "TIE, tcc (chosen on validation items)" in answers
    assert section.sentences[0] == f"Every member fails 30 of {num} items alone; choosing among answers solves none."
    assert "is above the best member (bob): +62.5 [" in section.sentences[1]
    assert "p < 0.0001, and above the post-generation ensemble" in section.sentences[1]
    assert "**not** above (p < 0.01) the best member (bob): +33.3" in grids(asked=study([TCC], TCC))[1].sentences[1]


def test_what_is_missing_lost_or_approximate_is_said():
    odd = [
        record(TCC, 0, True, is_degraded=True),
        record(TCC, 1, True, approximations=("fill_end",)),
        record(TCC, 2, False, error="too long"),
    ]
    _, section = grids([*post(ALONE[:3], "111"), *odd])

    assert section.sentences[2:] == (
        "TIE, tcc: 1 items have no answer and count as wrong.",
        "TIE, tcc: in 1 runs a member was lost to a round.",
        "TIE, tcc: 33.3 % of the runs are approximate.",
    )


def test_where_tie_stands_beside_choosing_is_said_by_group():
    records = [*post(["100"] * 20, "01" * 10), *ran(TCC, "10" * 10), *ran(RANDOM, "01" * 10)]

    _, section = grids(records, study([TCC, RANDOM]), groups=("art", "law"))

    assert section.sentences[1:] == (
        "TIE, tcc is not told apart from the post-generation ensemble (+0.0 [-45.0, +45.0] points, p 1.0000).",
        "TIE, tcc over the post-generation ensemble by group, told apart in 2 of 2 groups (p < 0.05 by Holm's method"
        " over the groups): art +100.0 [+100.0, +100.0]; law -100.0 [-100.0, -100.0].",
        "random leader is right on the same items as the post-generation ensemble.",
    )


def test_one_group_of_many_is_not_told_apart_by_chance():
    groups = [f"group {number}" for number in range(10)]
    better = "".join("1" if number % 10 == 0 else "0" for number in range(60))  # six items of one group: p 0.03
    records = [*post(["100"] * 60, "0" * 60), *ran(TCC, better)]

    assert grids(records, study([TCC]), groups=groups)[1].sentences[2:] == ()
    assert "told apart in 1 of 1 groups" not in str(grids(records, study([TCC]))[1].sentences)


def test_what_a_reader_needs_to_know_is_said_where_it_applies():
    part = Condition("TIE of two", {"score": "tcc"}, models=("ann", "bob"))
    commit = tie_by("commit")
    records = [*POSTED, *TIED, *ran(part, "111110"), *ran(commit, "111110")]

    plain, more = render(results([*POSTED, *TIED], ASKED)), render(results(records, study([TCC, commit, part])))

    assert "held against the post-generation ensemble of all 3" in more.note
    assert "Not the paper's scores: `commit`, the mean confidence" in more.note
    assert "lowest token change count" in plain.note
    assert "of all 3" not in plain.note
    assert "`commit`" not in plain.note


def test_all_members_are_paired_with_every_part_of_them():
    pairs = [Condition(f"TIE of {names}", {"score": "tcc"}, models=tuple(names.split(","))) for names in PAIRS]
    other = replace(pairs[0], label="by another score", options={"score": "top1"})
    records = [*POSTED, *TIED, *ran(pairs[0], "100110"), *ran(pairs[1], "111110"), *ran(other, "000000")]

    section = render(results(records, replace(study([TCC, *pairs, other]), chosen_part=pairs[1])))

    (parts,) = [grid for grid in section.grids if grid.header[0] == "all members over a part of them"]
    (first, gained, p), (second, nothing, _) = parts.rows
    assert first.text() == "TIE, tcc over TIE of ann,bob"
    assert (gained.paired.only_first, gained.paired.only_second, p.text()) == (2, 0, "0.5000")
    assert second.text() == "TIE, tcc over TIE of bob,cat (the best part on validation items)"
    assert nothing.paired is None
    assert "all members over a part of them" not in [grid.header[0] for grid in grids()[1].grids]


def test_members_that_a_condition_leaves_out_have_led_nothing():
    pair = tie_by("tcc", "two of them")
    runs = [record(pair, number, True, led="ab", wins={"ann": 1, "bob": 1}) for number in range(6)]

    (_, rounds, *_), _ = grids([*POSTED, *runs], study([pair, RANDOM][:1]))

    assert [figure.value for figure in rounds["TIE, tcc, two of them"]] == [2, 100, 0, 50, 50, 0]


@pytest.mark.parametrize("name", ["results.md", "results-tables.md"])
def test_the_measured_pages_are_explained_as_they_would_be_today(name):
    page = (DOCS / name).read_text(encoding="utf-8")
    (best,) = re.findall(r"^\|  \| right, % \| over (\S+) \| p \|", page, re.MULTILINE)
    _, section = grids()

    assert NOTE.format(best=best) in page
    assert f"\n| {' | '.join(section.grids[0].header)} |\n".replace("over bob", f"over {best}") in page
