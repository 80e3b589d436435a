"""What runs come to, counted by hand: members alone, leaders by stage, token changes of right and wrong answers."""

import pytest

from tests.evaluation.answers import post, ran, record, results
from tie_core.evaluation.conditions import POST, tie_by
from tie_core.evaluation.records import LedRound
from tie_core.evaluation.results import change_rate, changes_of, stage_of, switches_by_stage, undecided, wins_by_stage

TCC = tie_by("tcc")


def test_members_are_read_off_the_post_generation_run():
    found = results(post(["110", "010", "011", "000"], "1110"))

    assert [sum(found.right_alone(name)) for name in ("ann", "bob", "cat")] == [1, 3, 1]
    assert found.best_member() == "bob"
    assert found.failed_by_all() == (False, False, False, True)


def test_a_member_that_was_lost_counts_as_wrong():
    found = results([*post(["111"], "1"), record(POST, 1, True, alone="1")])

    assert found.right_alone("cat") == (True, False)


def test_runs_are_in_the_order_of_the_items():
    found = results([*post(["100"] * 3, "111"), *reversed(ran(TCC, "101"))])

    assert found.right(TCC) == (True, False, True)


def test_the_first_round_cannot_change_the_leader():
    runs = [record(TCC, 0, True, led="abab"), record(TCC, 1, True, led="a"), record(TCC, 2, True, led="")]

    assert change_rate(runs) == (3, 3)


@pytest.mark.parametrize(("num_rounds", "stages"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (6, [0, 0, 1, 1, 2, 2])])
def test_rounds_fall_into_thirds_of_their_run(num_rounds, stages):
    assert [stage_of(number, num_rounds) for number in range(num_rounds)] == stages


def test_wins_and_changes_are_counted_by_third():
    runs = [record(TCC, 0, True, led="aabcca"), record(TCC, 1, True, led="cab")]

    assert wins_by_stage(runs, "ann") == ((2, 3), (1, 3), (1, 3))
    assert wins_by_stage(runs, "cat") == ((1, 3), (1, 3), (1, 3))
    assert switches_by_stage(runs) == ((0, 1), (3, 3), (2, 3))


def test_token_changes_are_told_apart_by_the_members_own_answer():
    runs = [
        record(POST, 0, True, alone="100", tcc=(0.1, 2.0, None)),
        record(POST, 1, True, alone="010", tcc=(3.0, 0.0, 1.0)),
        record(POST, 2, True, alone="110", tcc=(0.3, None, 2.0)),
        record(POST, 3, True, alone="110", tcc=(0.2, 0.4, 6.0)),
    ]

    right = changes_of(runs, "ann", is_right=True)

    assert right == [0.1, 0.3, 0.2]
    assert changes_of(runs, "bob", is_right=True) == [0.0, 0.4]
    assert changes_of(runs, "cat", is_right=False) == [1.0, 2.0, 6.0]
    assert changes_of(runs, "cat", is_right=True) == []


def test_a_round_is_tied_where_no_member_alone_has_the_best_score():
    scores: list[dict[str, float | None]] = [
        {"ann": -0.5, "bob": -0.5, "cat": -1.0},
        {"ann": -0.5, "bob": 0.0, "cat": -0.5},
        {"ann": None, "bob": -2.0},
        {"ann": None, "bob": None},
    ]
    rounds = tuple(LedRound("bob", told) for told in scores)

    assert undecided([record(TCC, 0, True, rounds=rounds), record(TCC, 1, True)]) == ((2, 4), (0, 0))
