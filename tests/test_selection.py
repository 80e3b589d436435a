"""Who leads a round and who answers: every tie by hand."""

from fractions import Fraction

import pytest

from tie_core.scoring import ChangeCount, Score
from tie_core.selection import SELECTIONS, Candidate, Leader, choose_leader

ALL = (True, True, True)


def score(value, top1=0.5, commit_confidence=0.5):
    return Score(value, 0.0, top1, commit_confidence)


def candidate(member, tcc, top1=0.5, wins=0, has_evidence=True):
    return Candidate(member, ChangeCount(Fraction(tcc), has_evidence), top1, wins)


def test_the_highest_score_leads():
    assert choose_leader([score(-2), score(-0.5), score(-1)], ALL, None) == Leader(1, None)


def test_equal_scores_go_to_the_higher_top1():
    assert choose_leader([score(-1, 0.4), score(-1, 0.6), score(-2, 0.9)], ALL, 0) == Leader(1, "top1")


def test_equal_scores_and_top1_stay_with_the_last_leader():
    assert choose_leader([score(-1), score(-1), score(-1)], ALL, 2) == Leader(2, "last_leader")


def test_all_equal_in_the_first_round_goes_by_order():
    assert choose_leader([score(-1), score(-1), score(-1)], ALL, None) == Leader(0, "order")


def test_no_evidence_ranks_below_any_evidence():
    assert choose_leader([score(None, 1.0), score(-9), score(None)], ALL, 0) == Leader(1, None)


def test_without_any_evidence_the_last_leader_stays():
    assert choose_leader([score(None), score(None), score(None)], ALL, 1) == Leader(1, "no_evidence")


def test_without_any_evidence_the_surest_commits_lead_the_first_round():
    scores = [score(None, commit_confidence=0.5), score(None, commit_confidence=0.9), score(None)]
    assert choose_leader(scores, ALL, None) == Leader(1, "no_evidence")


def test_a_member_that_would_shrink_the_text_cannot_lead():
    assert choose_leader([score(-3), score(0.0), score(-1)], (True, False, True), 1) == Leader(2, "progress")


def test_lowest_tcc_takes_the_most_stable_run():
    runs = [candidate(0, "2/3"), candidate(1, "1/3"), candidate(2, 1)]
    assert SELECTIONS["lowest_tcc"](runs, None).member == 1


def test_lowest_tcc_breaks_ties_by_top1_then_order():
    assert SELECTIONS["lowest_tcc"]([candidate(0, 1, 0.4), candidate(1, 1, 0.6)], None).member == 1
    assert SELECTIONS["lowest_tcc"]([candidate(0, 1), candidate(1, 1)], None).member == 0


def test_a_run_without_evidence_is_not_the_most_stable_one():
    assert SELECTIONS["lowest_tcc"]([candidate(0, 0, has_evidence=False), candidate(1, 5)], None).member == 1


def test_most_selected_takes_the_member_that_led_most():
    assert SELECTIONS["most_selected"]([candidate(0, 0, wins=1), candidate(1, 9, wins=2)], None).member == 1


def test_most_selected_breaks_ties_by_tcc():
    assert SELECTIONS["most_selected"]([candidate(0, 2, wins=1), candidate(1, 1, wins=1)], None).member == 1


@pytest.mark.parametrize("best", [0, 1])
def test_best_model_takes_the_named_member(best):
    assert SELECTIONS["best_model"]([candidate(0, 0), candidate(1, 9)], best).member == best
