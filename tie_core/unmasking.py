"""Unmasking policies: which of the eligible positions a denoising step commits.

Each is a pure function from what a step knows of them to the chosen indices, in order; at least one is always chosen.
Every rule is a prefix of a sorted list, so it can be written over tensors too. Ties go to the lowest position.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from math import inf

from tie_core.options import PolicyName, TieOptions


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a step may commit, position by position: the proposals' confidences and the positions' entropies (nats).

    An entropy is infinite where it does not describe the proposal: an end token that the request holds back.
    """

    confidences: Sequence[float]  # [K] probabilities
    entropies: Sequence[float]  # [K]


Policy = Callable[[Candidates, TieOptions], list[int]]


def top_k(candidates: Candidates, options: TieOptions) -> list[int]:
    """The k most confident positions (low-confidence remasking)."""
    return sorted(_by_confidence(candidates)[: options.k])


def threshold(candidates: Candidates, options: TieOptions) -> list[int]:
    """Every position with confidence >= tau, and always the best one (Fast-dLLM, arXiv 2505.22618; Table 7)."""
    sure = [index for index, confidence in enumerate(candidates.confidences) if confidence >= options.tau]
    return sure or _by_confidence(candidates)[:1]


def factor(candidates: Candidates, options: TieOptions) -> list[int]:
    """The n most confident positions for the largest n with (n + 1)(1 - c_n) < factor, c_n being the n-th confidence.

    The more at once, the surer each must be (Fast-dLLM, arXiv 2505.22618). The left side grows with n, so the largest
    n ends the longest prefix. At least one is committed.
    """
    order = _by_confidence(candidates)
    doubts = [(n + 1) * (1 - candidates.confidences[index]) for n, index in enumerate(order, start=1)]
    num_sure = sum(doubt < options.factor for doubt in doubts)
    return sorted(order[: max(1, num_sure)])


def entropy_bound(candidates: Candidates, options: TieOptions) -> list[int]:
    """The n positions of lowest entropy for the largest n whose entropies, less the largest of them, sum to <= gamma.

    That difference bounds what the tokens of one step could tell about each other (EB-Sampler, arXiv 2505.24857). At
    least one is committed; where no entropy is finite, the most confident one.
    """
    entropies = candidates.entropies
    order = sorted((index for index, entropy in enumerate(entropies) if entropy < inf), key=lambda i: (entropies[i], i))
    before = accumulate((entropies[index] for index in order), initial=0.0)
    num_within = len(list(takewhile(lambda total: total <= options.gamma, before)))
    return sorted(order[:num_within]) or _by_confidence(candidates)[:1]


def _by_confidence(candidates: Candidates) -> list[int]:
    confidences = candidates.confidences
    return sorted(range(len(confidences)), key=lambda index: (-confidences[index], index))


POLICIES: dict[PolicyName, Policy] = {
    "top_k": top_k,
    "threshold": threshold,
    "factor": factor,
    "entropy_bound": entropy_bound,
}
