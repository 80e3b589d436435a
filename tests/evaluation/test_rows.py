"""Rows from scripted measurements: pairing, what is compared with what, and how rounds are counted."""

import pytest

from tests.evaluation.answers import FIRST, SECOND, answered, measured, post, run
from tie_core.evaluation.rows import baseline_of, changes_of, rows_of
from tie_core.evaluation.settings import choose_settings

POST = post(first="110000", second="101100", chosen="111000")


def test_a_baselines_run_gives_the_members_and_the_best_possible_choice():
    rows = rows_of(choose_settings(["post"]), {"post": POST})

    assert list(rows) == [f"post/{FIRST}", f"post/{SECOND}", "post", "post/best"]
    assert [sum(row.right) for row in rows.values()] == [2, 3, 3, 4]
    assert [row.decode_forwards for row in rows.values()] == [40, 42, 82, 82]


def test_the_better_member_is_the_one_with_more_right_answers():
    baseline = baseline_of(POST)

    assert baseline.better_name == SECOND
    assert baseline.failed_by_all == (False, False, False, False, True, True)


def test_a_row_is_paired_with_the_ensemble_and_with_the_better_member():
    row = rows_of(choose_settings(["tcc"]), {"post": POST, "tcc": run("tcc", "111110")})["tcc"]

    assert (row.to_ensemble.only_first, row.to_ensemble.only_second) == (2, 0)
    assert (row.to_better.only_first, row.to_better.only_second) == (2, 0)
    assert row.to_ensemble.difference == pytest.approx(2 / 6)
    assert row.solved_of_failed == 1


def test_a_row_is_not_compared_with_itself():
    rows = rows_of(choose_settings(["post"]), {"post": POST})

    assert rows["post"].to_ensemble is None
    assert rows[f"post/{SECOND}"].to_better is None
    assert rows[f"post/{FIRST}"].to_better.difference == pytest.approx(-1 / 6)


def test_threshold_rows_have_their_own_baseline():
    easy = measured("threshold-post", post("000000", "111100", "111100").answered)
    measurements = {"post": POST, "threshold-post": easy, "threshold-tcc": run("threshold-tcc", "111110")}

    rows = rows_of(choose_settings(["threshold-tcc"]), measurements)

    assert rows["threshold-tcc"].to_ensemble.difference == pytest.approx(1 / 6)
    assert sum(rows[f"threshold-post/{SECOND}"].right) == 4


def test_the_first_round_of_a_request_cannot_change_the_model():
    runs = [
        answered(True, rounds=4, switches=2, wins=(1, 3)),
        answered(True, rounds=1, switches=0, wins=(1, 0)),
        answered(False, rounds=0),
    ]
    measurements = {"post": post("100", "010", "110"), "tcc": measured("tcc", runs)}

    leading = rows_of(choose_settings(["tcc"]), measurements)["tcc"].leading

    assert leading.rounds == pytest.approx(5 / 3)
    assert leading.change_rate == pytest.approx(2 / 3)
    assert leading.wins == {FIRST: pytest.approx(2 / 5), SECOND: pytest.approx(3 / 5)}


def test_change_counts_are_told_apart_by_the_members_own_answer():
    runs = [
        answered(True, (True, False), tcc=(0.1, 2.0)),
        answered(False, (False, True), tcc=(3.0, 0.0)),
        answered(True, (True, True), tcc=(0.3, None)),
        answered(True, (True, True), tcc=(0.2, 0.4)),
    ]
    measurement = measured("post", runs)

    right = changes_of(measurement, FIRST, is_right=True)

    assert (right.num, right.median, right.mean) == (3, 0.2, pytest.approx(0.2))
    assert changes_of(measurement, SECOND, is_right=True).num == 2
    assert changes_of(measurement, SECOND, is_right=False).mean == 2.0
    assert changes_of(measured("post", runs[:1]), FIRST, is_right=False).median is None
