"""Token change count and readings, by hand: canvas of 2 reasoning positions, a suffix token, and answers from 3 on."""

from fractions import Fraction

import pytest

from tests.scripted import END, canvas, prediction
from tie_core.canvas import Commit
from tie_core.scoring import (
    Scope,
    history_score,
    mean_margin,
    mean_negative_entropy,
    mean_top1,
    reading_score,
    scored_positions,
    token_change_count,
)
from tie_core.trajectory import Step, Trajectory

ANSWER = Scope(range(3, 6), frozenset({END}))


def steps(*guesses, commits=()):
    return [
        Step(prediction(guess), commits[index] if index < len(commits) else ()) for index, guess in enumerate(guesses)
    ]


def trajectory(*guesses, commits=()):
    blank = canvas(2, 3)
    return Trajectory(0, blank, blank, tuple(steps(*guesses, commits=commits)), len(guesses))


def test_a_change_counts_as_a_share_of_the_scored_positions():
    # one of three changes, then two of three
    history = steps({3: 1, 4: 2, 5: 3}, {3: 1, 4: 2, 5: 4}, {3: 5, 4: 6, 5: 4})
    assert token_change_count(history, ANSWER).value == Fraction(1, 3) + Fraction(2, 3)


def test_n_steps_give_n_minus_1_pairs():
    flipping = [{3: 1 + step % 2, 4: 1, 5: 1} for step in range(5)]
    assert token_change_count(steps(*flipping), ANSWER).value == 4 * Fraction(1, 3)


def test_reasoning_positions_do_not_count():
    assert token_change_count(steps({0: 1, 3: 1}, {0: 2, 3: 1}), ANSWER).value == 0


def test_positions_that_predict_end_are_left_out_of_the_share():
    # at t only 3 is scored; that 4 turns from end into a word is no change of A(t)
    history = steps({3: 1, 4: END, 5: END}, {3: 2, 4: 5, 5: END})
    assert token_change_count(history, ANSWER).value == Fraction(1, 1)


def test_turning_into_end_is_a_change():
    assert token_change_count(steps({3: 1, 4: 2}, {3: 1, 4: END}), ANSWER).value == Fraction(1, 2)


def test_a_position_committed_in_the_step_counts_as_unchanged():
    committed = ((Commit(3, 1, 0.9),),)
    history = steps({3: 1, 4: 2, 5: 3}, {4: 7, 5: 3}, commits=committed)
    assert token_change_count(history, ANSWER).value == Fraction(1, 3)


def test_pairs_with_nothing_scored_say_nothing():
    history = steps({3: END, 4: END}, {3: 1, 4: 2}, {3: 1, 4: 3})
    count = token_change_count(history, ANSWER)
    assert count.value == Fraction(1, 2)
    assert count.has_evidence


def test_a_round_in_which_every_answer_is_end_has_no_evidence():
    count = token_change_count(steps({3: END, 4: END}, {3: END, 4: END}), ANSWER)
    assert not count.has_evidence
    assert history_score(trajectory({3: END}, {3: END}), ANSWER).value is None


def test_one_step_has_evidence_but_no_pair():
    count = token_change_count(steps({3: 1}), ANSWER)
    assert (count.value, count.has_evidence) == (0, True)


def test_code_scores_the_first_8_masked_positions_that_are_not_end():
    scope = Scope(range(3, 20), frozenset({END}), limit=8)
    guesses = {3: END} | dict.fromkeys(range(4, 20), 1)
    assert scored_positions(prediction(guesses), scope) == tuple(range(4, 12))
    late, early = guesses | {15: 2}, guesses | {11: 2}
    assert token_change_count(steps(guesses, late), scope).value == 0
    assert token_change_count(steps(guesses, early), scope).value == Fraction(1, 8)


def test_the_history_score_is_minus_the_count():
    score = history_score(trajectory({3: 1, 4: 2}, {3: 1, 4: (3, 0.75)}), ANSWER)
    assert score.value == -0.5
    assert score.tcc == 0.5
    assert score.top1 == pytest.approx((0.5 + 0.75) / 2)


def test_readings_are_means_over_the_scored_positions():
    read = prediction({3: (1, 0.9), 4: (2, 0.5), 5: (END, 0.99)})
    assert mean_top1(read, ANSWER) == pytest.approx(0.7)
    assert mean_margin(read, ANSWER) == pytest.approx((0.8 + 0.0) / 2)
    assert mean_negative_entropy(read, ANSWER) == pytest.approx((-0.1 - 0.5) / 2)


def test_a_reading_with_nothing_scored_is_none():
    assert mean_top1(prediction({3: END}), ANSWER) is None


@pytest.mark.parametrize(("name", "value"), [("top1", 0.7), ("margin", 0.4), ("entropy", -0.3)])
def test_a_cross_model_score_is_the_mean_of_the_readers(name, value):
    own, other = prediction({3: (1, 0.9)}), prediction({3: (1, 0.5)})
    score = reading_score(trajectory({3: 1}), ANSWER, [(own, ANSWER), (other, ANSWER)], name)
    assert score.value == pytest.approx(value)


def test_a_reader_that_sees_only_ends_is_left_out():
    read, blind = prediction({3: (1, 0.8)}), prediction({3: (END, 1.0)})
    assert reading_score(trajectory({3: 1}), ANSWER, [(read, ANSWER), (blind, ANSWER)], "top1").value == 0.8
    assert reading_score(trajectory({3: 1}), ANSWER, [(blind, ANSWER)], "top1").value is None


def test_each_reader_scores_where_it_sees_the_answer_itself():
    shifted = Scope(range(4, 7), frozenset({END}))
    readings = [(prediction({3: (1, 0.8)}), ANSWER), (prediction({3: (1, 0.1), 4: (1, 0.4)}), shifted)]
    assert reading_score(trajectory({3: 1}), ANSWER, readings, "top1").value == pytest.approx(0.6)
