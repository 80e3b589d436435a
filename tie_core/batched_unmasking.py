"""The unmasking policies over all rows of a batch at once: what `unmasking.py` says of one row, in whole arrays.

Rows differ in their number of candidates, so they are padded with what is never preferred; what is chosen there means
nothing. Each row's choice is that of its policy in `POLICIES`, whatever the other rows are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tie_core.options import PolicyName, TieOptions

Floats = NDArray[np.float64]
Choice = NDArray[np.bool_]  # [R, E]


@dataclass(frozen=True, slots=True)
class CandidateRows:
    """The candidates of R rows, E at most; a row's are its first entries."""

    confidences: Floats  # [R, E], -inf where a row has no candidate
    entropies: Floats  # [R, E], inf there

    def of(self, rows: NDArray[np.int64]) -> "CandidateRows":
        return CandidateRows(self.confidences[rows], self.entropies[rows])


def top_k(candidates: CandidateRows, k: Floats) -> Choice:
    return _ranks(_by_confidence(candidates)) < k[:, None]


def threshold(candidates: CandidateRows, tau: Floats) -> Choice:
    sure: Choice = candidates.confidences >= tau[:, None]
    return sure | (_best(candidates) & ~sure.any(1, keepdims=True))


def factor(candidates: CandidateRows, factors: Floats) -> Choice:
    order = _by_confidence(candidates)
    doubts = np.arange(2, order.shape[1] + 2) * (1 - np.take_along_axis(candidates.confidences, order, 1))
    num_sure = (doubts < factors[:, None]).sum(1, keepdims=True)
    chosen: Choice = _ranks(order) < np.maximum(num_sure, 1)
    return chosen


def entropy_bound(candidates: CandidateRows, gamma: Floats) -> Choice:
    order = candidates.entropies.argsort(1, kind="stable")
    entropies = np.take_along_axis(candidates.entropies, order, 1)
    before = np.zeros_like(entropies)
    np.cumsum(entropies[:, :-1], axis=1, out=before[:, 1:])  # adds from the left, as the plain policy does
    within: Choice = (before <= gamma[:, None]) & (entropies < np.inf)
    chosen: Choice = _ranks(order) < within.sum(1, keepdims=True)
    return chosen | (_best(candidates) & ~within.any(1, keepdims=True))


def _by_confidence(candidates: CandidateRows) -> NDArray[np.int64]:
    return (-candidates.confidences).argsort(1, kind="stable")


def _best(candidates: CandidateRows) -> Choice:
    best = np.zeros(candidates.confidences.shape, dtype=np.bool_)
    best[np.arange(len(best)), candidates.confidences.argmax(1)] = True
    return best


def _ranks(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each candidate's place in its row's order."""
    return order.argsort(1)


BatchedPolicy = Callable[[CandidateRows, Floats], Choice]
"""The second argument is [R]: each row's value of the one option that its policy reads."""

BATCHED_POLICIES: dict[PolicyName, BatchedPolicy] = {
    "top_k": top_k,
    "threshold": threshold,
    "factor": factor,
    "entropy_bound": entropy_bound,
}


def limit_of(options: TieOptions) -> float:
    """The option that the request's policy reads."""
    limits = {"top_k": options.k, "threshold": options.tau, "factor": options.factor, "entropy_bound": options.gamma}
    return float(limits[options.policy])
