"""The unmasking policies."""

from hypothesis import given
from hypothesis import strategies as st

from tie_core.options import resolve_options
from tie_core.unmasking import POLICIES

top_k, threshold = POLICIES["top_k"], POLICIES["threshold"]


def test_top_k_commits_the_most_confident_positions():
    assert top_k([0.1, 0.9, 0.5], resolve_options({"k": 2})) == [1, 2]


def test_ties_go_to_the_lowest_position():
    assert top_k([0.5, 0.7, 0.7], resolve_options({})) == [1]
    assert threshold([0.7, 0.7], resolve_options({"tau": 0.9})) == [0]


def test_the_threshold_commits_everything_at_or_above_tau():
    assert threshold([0.95, 0.2, 0.9], resolve_options({"tau": 0.9})) == [0, 2]


def test_the_threshold_always_commits_the_best_position():
    assert threshold([0.3, 0.4, 0.1], resolve_options({"tau": 0.9, "k": 3})) == [1]


@given(st.lists(st.floats(0, 1), min_size=1), st.sampled_from(sorted(POLICIES)), st.integers(1, 4))
def test_every_policy_commits_at_least_one_eligible_position(confidences, policy, k):
    chosen = POLICIES[policy](confidences, resolve_options({"policy": policy, "k": k}))
    assert chosen
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(range(len(confidences)))
