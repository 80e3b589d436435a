"""The policies over many rows at once choose in every row what the plain policies choose there."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.test_unmasking import FACTORS, GAMMAS, candidates
from tie_core.batched_unmasking import BATCHED_POLICIES, CandidateRows, limit_of
from tie_core.options import resolve_options
from tie_core.unmasking import POLICIES, Candidates

OPTIONS = st.builds(
    dict,
    policy=st.sampled_from(sorted(POLICIES)),
    k=st.integers(1, 4),
    tau=st.one_of(st.sampled_from([0.3, 0.9, 1.0]), st.floats(0.01, 1)),
    factor=FACTORS,
    gamma=st.one_of(st.sampled_from([0.1, 2.0]), GAMMAS),
)


def padded(rows: list[Candidates]) -> CandidateRows:
    shape = len(rows), max(len(row.confidences) for row in rows)
    found = CandidateRows(np.full(shape, -np.inf), np.full(shape, np.inf))
    for number, row in enumerate(rows):
        found.confidences[number, : len(row.confidences)] = row.confidences
        found.entropies[number, : len(row.entropies)] = row.entropies
    return found


def test_every_policy_has_a_batched_one():
    assert set(BATCHED_POLICIES) == set(POLICIES)


@given(st.lists(st.tuples(candidates(), OPTIONS), min_size=1, max_size=6))
def test_each_row_is_chosen_from_as_if_it_were_alone(asked):
    rows, options = [row for row, _ in asked], [resolve_options(given) for _, given in asked]
    for name in {each.policy for each in options}:
        limits = np.array([limit_of(each) for each in options])
        chosen = BATCHED_POLICIES[name](padded(rows), limits)
        for number, (row, each) in enumerate(zip(rows, options, strict=True)):
            if each.policy == name:
                found = np.flatnonzero(chosen[number, : len(row.confidences)]).tolist()
                assert found == POLICIES[name](row, each)
