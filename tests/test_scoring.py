"""Token change count and readings, by hand: canvas of 2 reasoning positions, a suffix token, and answers from 3 on."""

from fractions import Fraction
from itertools import permutations

import pytest

from tie_core.scoring import (
    SCORES,
    Evidence,
    History,
    Scope,
    history_value,
    mean_margin,
    mean_negative_entropy,
    mean_top1,
    scored_positions,
)
from tie_core.testing.scripted import END, prediction

ANSWER = Scope(range(3, 6), frozenset({END}))


def history(*guesses, scope=ANSWER):
    """The history of these predictions, one a step."""
    seen = History(scope)
    for guess in guesses:
        seen = seen.after(prediction(guess))
    return seen


def test_a_change_counts_as_a_share_of_the_scored_positions():
    # one of three changes, then two of three
    seen = history({3: 1, 4: 2, 5: 3}, {3: 1, 4: 2, 5: 4}, {3: 5, 4: 6, 5: 4})
    assert seen.changes.value == Fraction(1, 3) + Fraction(2, 3)


def test_without_normalisation_a_change_counts_as_one_position():
    scope = Scope(ANSWER.region, ANSWER.end_ids, is_normalised=False)
    seen = history({3: 1, 4: 2, 5: 3}, {3: 1, 4: 2, 5: 4}, {3: 5, 4: 6, 5: 4}, scope=scope)
    assert seen.changes.value == 1 + 2


def test_n_steps_give_n_minus_1_pairs():
    flipping = [{3: 1 + step % 2, 4: 1, 5: 1} for step in range(5)]
    assert history(*flipping).changes.value == 4 * Fraction(1, 3)


def test_reasoning_positions_do_not_count():
    assert history({0: 1, 3: 1}, {0: 2, 3: 1}).changes.value == 0


def test_positions_that_predict_end_are_left_out_of_the_share():
    # at t only 3 is scored; that 4 turns from end into a word is no change of A(t)
    seen = history({3: 1, 4: END, 5: END}, {3: 2, 4: 5, 5: END})
    assert seen.changes.value == Fraction(1, 1)


def test_turning_into_end_is_a_change():
    assert history({3: 1, 4: 2}, {3: 1, 4: END}).changes.value == Fraction(1, 2)


def test_a_position_committed_in_the_step_counts_as_unchanged():
    seen = history({3: 1, 4: 2, 5: 3}, {4: 7, 5: 3})  # 3 is no longer predicted
    assert seen.changes.value == Fraction(1, 3)


def test_pairs_with_nothing_scored_say_nothing():
    seen = history({3: END, 4: END}, {3: 1, 4: 2}, {3: 1, 4: 3})
    count = seen.changes
    assert count.value == Fraction(1, 2)
    assert count.has_evidence


def test_a_round_in_which_every_answer_is_end_has_no_evidence():
    count = history({3: END, 4: END}, {3: END, 4: END}).changes
    assert not count.has_evidence
    assert history_value(history({3: END}, {3: END})) is None


def test_one_step_has_evidence_but_no_pair():
    count = history({3: 1}).changes
    assert (count.value, count.has_evidence) == (0, True)


def test_code_scores_the_first_8_masked_positions_that_are_not_end():
    scope = Scope(range(3, 20), frozenset({END}), limit=8)
    guesses = {3: END} | dict.fromkeys(range(4, 20), 1)
    assert scored_positions(prediction(guesses), scope) == tuple(range(4, 12))
    late, early = guesses | {15: 2}, guesses | {11: 2}
    assert history(guesses, late, scope=scope).changes.value == 0
    assert history(guesses, early, scope=scope).changes.value == Fraction(1, 8)


def test_the_history_score_is_minus_the_count():
    seen = history({3: 1, 4: 2}, {3: 1, 4: (3, 0.75)})
    assert history_value(seen) == -0.5
    assert seen.top1 == pytest.approx((0.5 + 0.75) / 2)


def test_the_top1_of_a_history_is_the_last_one_that_was_scored():
    assert history({3: (1, 0.8)}, {3: (END, 0.9)}).top1 == pytest.approx(0.8)


def test_readings_are_means_over_the_scored_positions():
    read = prediction({3: (1, 0.9), 4: (2, 0.5), 5: (END, 0.99)})
    assert mean_top1(read, ANSWER) == pytest.approx(0.7)
    assert mean_margin(read, ANSWER) == pytest.approx((0.8 + 0.0) / 2)
    assert mean_negative_entropy(read, ANSWER) == pytest.approx((-0.1 - 0.5) / 2)


def test_a_reading_with_nothing_scored_is_none():
    assert mean_top1(prediction({3: END}), ANSWER) is None


def valued(name, *, seen=None, confidences=(), readings=()):
    return SCORES[name].value(Evidence(seen or history({3: 1}), confidences, readings))


@pytest.mark.parametrize(("name", "value"), [("top1", 0.7), ("margin", 0.4), ("entropy", -0.3)])
def test_a_cross_model_score_is_the_mean_of_the_readers(name, value):
    own, other = prediction({3: (1, 0.9)}), prediction({3: (1, 0.5)})
    assert valued(name, readings=[(own, ANSWER), (other, ANSWER)]) == pytest.approx(value)


@pytest.mark.parametrize("name", ["top1", "margin", "entropy", "commit_top1"])
def test_the_members_order_changes_no_bit_of_a_score(name):
    readings = [(prediction({3: (1, top1)}), ANSWER) for top1 in (0.259, 0.041, 0.802)]
    values = {valued(name, confidences=[0.9], readings=order) for order in permutations(readings)}
    assert len(values) == 1


def test_a_reader_that_sees_only_ends_is_left_out():
    read, blind = prediction({3: (1, 0.8)}), prediction({3: (END, 1.0)})
    assert valued("top1", readings=[(read, ANSWER), (blind, ANSWER)]) == 0.8
    assert valued("top1", readings=[(blind, ANSWER)]) is None


def test_each_reader_scores_where_it_sees_the_answer_itself():
    shifted = Scope(range(4, 7), frozenset({END}))
    readings = [(prediction({3: (1, 0.8)}), ANSWER), (prediction({3: (1, 0.1), 4: (1, 0.4)}), shifted)]
    assert valued("top1", readings=readings) == pytest.approx(0.6)


def test_the_pair_after_the_last_commit_counts_for_the_score_that_says_so():
    seen, read = history({3: 1, 4: 2}, {3: 1, 4: 2}), prediction({3: 1, 4: 7})
    assert valued("tcc", seen=seen, readings=[(read, ANSWER)]) == 0
    assert valued("tcc_end", seen=seen, readings=[(read, ANSWER)]) == -0.5
    assert valued("tcc_end", seen=seen) == 0  # nothing masked is left to read
    assert seen.changes.value == 0


def test_what_was_committed_scores_by_its_mean_confidence():
    assert valued("commit", confidences=[0.9, 0.5]) == pytest.approx(0.7)
    assert valued("commit") is None


def test_what_was_committed_and_what_is_read_of_it_are_multiplied():
    read, blind = prediction({3: (1, 0.8)}), prediction({3: (END, 1.0)})
    assert valued("commit_top1", confidences=[0.9, 0.5], readings=[(read, ANSWER)]) == pytest.approx(0.7 * 0.8)
    assert valued("commit_top1", confidences=[0.9], readings=[(blind, ANSWER)]) is None
    assert valued("commit_top1", readings=[(read, ANSWER)]) is None
