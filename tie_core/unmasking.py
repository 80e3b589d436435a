"""Unmasking policies: which of the eligible positions a denoising step commits.

Each is a function from confidences to the chosen indices; at least one is always chosen (Table 7).
"""

from collections.abc import Callable, Sequence

from tie_core.options import PolicyName, TieOptions

Policy = Callable[[Sequence[float], TieOptions], list[int]]


def top_k(confidences: Sequence[float], options: TieOptions) -> list[int]:
    """The k most confident positions; ties go to the lowest (low-confidence remasking)."""
    return sorted(_by_confidence(confidences)[: options.k])


def threshold(confidences: Sequence[float], options: TieOptions) -> list[int]:
    """Every position with confidence >= tau, and always the best one (Fast-dLLM's rule)."""
    sure = [index for index, confidence in enumerate(confidences) if confidence >= options.tau]
    return sure or _by_confidence(confidences)[:1]


def _by_confidence(confidences: Sequence[float]) -> list[int]:
    return sorted(range(len(confidences)), key=lambda index: (-confidences[index], index))


POLICIES: dict[PolicyName, Policy] = {"top_k": top_k, "threshold": threshold}
