"""The unmasking policies."""

import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tie_core.denoising import choose_commits
from tie_core.options import resolve_options
from tie_core.testing.scripted import canvas, prediction
from tie_core.unmasking import POLICIES, Candidates

FACTORS = st.floats(0.01, 2)
GAMMAS = st.floats(0.001, 5)


@st.composite
def candidates(draw):
    """Few distinct values, so that ties are common."""
    confidence = st.one_of(st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.floats(0, 1))
    entropy = st.one_of(st.sampled_from([0.0, 0.1, 2.0, inf]), st.floats(0, 10))
    pairs = draw(st.lists(st.tuples(confidence, entropy), min_size=1, max_size=12))
    return Candidates([one for one, _ in pairs], [other for _, other in pairs])


def choose(policy, confidences=(), entropies=None, **options):
    entropies = [0.0] * len(confidences) if entropies is None else entropies
    confidences = confidences or [0.5] * len(entropies)
    return POLICIES[policy](Candidates(confidences, entropies), resolve_options({"policy": policy, **options}))


def test_top_k_commits_the_most_confident_positions():
    assert choose("top_k", [0.1, 0.9, 0.5], k=2) == [1, 2]


def test_ties_go_to_the_lowest_position():
    assert choose("top_k", [0.5, 0.7, 0.7]) == [1]
    assert choose("threshold", [0.7, 0.7], tau=0.9) == [0]
    assert choose("factor", [0.4, 0.4]) == [0]
    assert choose("entropy_bound", entropies=[3.0, 2.0, 2.0]) == [1]


def test_the_threshold_commits_everything_at_or_above_tau():
    assert choose("threshold", [0.95, 0.2, 0.9], tau=0.9) == [0, 2]


def test_the_threshold_always_commits_the_best_position():
    assert choose("threshold", [0.3, 0.4, 0.1], tau=0.9, k=3) == [1]


def test_the_factor_asks_for_more_confidence_the_more_it_commits():
    # (n + 1)(1 - c): 2 x 0.05, 3 x 0.1, 4 x 0.2, 5 x 0.25
    confidences = [0.75, 0.95, 0.8, 0.9]
    assert choose("factor", confidences, factor=1.0) == [1, 2, 3]
    assert choose("factor", confidences, factor=0.5) == [1, 3]
    assert choose("factor", confidences, factor=0.05) == [1]


def test_the_factor_is_a_bound_that_is_not_reached():
    assert choose("factor", [0.75, 0.75], factor=0.75) == [0]  # 3 x 0.25 is 0.75
    assert choose("factor", [0.75, 0.75], factor=0.76) == [0, 1]


def test_no_factor_lets_a_position_pass_that_is_held_back():
    assert choose("factor", [0.0, 1.0, 0.0], factor=2.0) == [1]


def test_the_entropies_but_the_largest_stay_within_gamma():
    # in order: 1/16, 1/8, 1/4, 1/2; without the largest they sum to 0, 1/16, 3/16, 7/16
    entropies = [0.5, 0.0625, 0.25, 0.125]
    assert choose("entropy_bound", entropies=entropies, gamma=0.4375) == [0, 1, 2, 3]
    assert choose("entropy_bound", entropies=entropies, gamma=0.4) == [1, 2, 3]
    assert choose("entropy_bound", entropies=entropies, gamma=0.01) == [1]


def test_entropies_that_do_not_describe_the_proposal_wait_for_the_others():
    assert choose("entropy_bound", [0.1, 0.9, 0.8], [0.01, inf, inf], gamma=1.0) == [0]
    assert choose("entropy_bound", [0.1, 0.9, 0.8], [inf, inf, inf], gamma=1.0) == [1]


@pytest.mark.parametrize("held_back", [{"confidences": (0.0, 0.5)}, {"proposals": (3, 2)}])
def test_an_end_that_is_held_back_is_committed_last_whatever_its_entropy(held_back):
    seen = replace(prediction({0: (9, 1.0), 1: (2, 0.5)}), **held_back)
    (commit,) = choose_commits(canvas(2, 0, suffix=()), seen, resolve_options({"policy": "entropy_bound"}))
    assert commit.position == 1


@given(candidates(), st.sampled_from(sorted(POLICIES)), st.integers(1, 4), FACTORS, GAMMAS)
def test_every_policy_commits_at_least_one_eligible_position(seen, policy, k, factor, gamma):
    chosen = POLICIES[policy](seen, resolve_options({"policy": policy, "k": k, "factor": factor, "gamma": gamma}))
    assert chosen
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(len(seen.confidences)))


@given(candidates(), st.sampled_from(sorted(POLICIES)), st.randoms(use_true_random=False))
def test_the_order_of_positions_decides_ties_and_nothing_else(seen, policy, rng: random.Random):
    """What is chosen has the same values in any order, and of equal ones the lowest positions are taken."""
    options = resolve_options({"policy": policy, "k": 2})
    pairs = list(zip(seen.confidences, seen.entropies, strict=True))
    chosen = POLICIES[policy](seen, options)
    shuffled = rng.sample(pairs, len(pairs))
    again = POLICIES[policy](Candidates(*zip(*shuffled, strict=True)), options)
    key = (lambda pair: pair[1]) if policy == "entropy_bound" and min(seen.entropies) < inf else (lambda pair: pair[0])
    assert sorted(key(pairs[index]) for index in chosen) == sorted(key(shuffled[index]) for index in again)
    for value in map(key, pairs):
        equal = [index for index, pair in enumerate(pairs) if key(pair) == value]
        taken = [index for index in equal if index in chosen]
        assert taken == equal[: len(taken)]


@given(candidates(), FACTORS, FACTORS)
def test_a_larger_factor_never_commits_less(seen, one, other):
    small, large = sorted((one, other))
    options = [resolve_options({"factor": value}) for value in (small, large)]
    fewer, more = (set(POLICIES["factor"](seen, chosen)) for chosen in options)
    assert fewer <= more


@given(candidates(), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_higher_threshold_never_commits_more(seen, one, other):
    low, high = sorted((one, other))
    options = [resolve_options({"tau": value}) for value in (low, high)]
    more, fewer = (set(POLICIES["threshold"](seen, chosen)) for chosen in options)
    assert fewer <= more


@given(candidates(), GAMMAS, GAMMAS)
def test_a_larger_entropy_bound_never_commits_less(seen, one, other):
    small, large = sorted((one, other))
    options = [resolve_options({"gamma": value}) for value in (small, large)]
    fewer, more = (set(POLICIES["entropy_bound"](seen, chosen)) for chosen in options)
    assert fewer <= more
