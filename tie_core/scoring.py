"""How reliable a trajectory is: token change count and the confidence readings. Sections 3.2 and 4.2, equations 3 to 6.

Knows predictions and positions, not models. A is always `scored_positions`: the masked answer positions whose argmax
is not an end token.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import get_args

from tie_core.options import ScoreName
from tie_core.prediction import Prediction
from tie_core.trajectory import Step, Trajectory


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a member is assessed: its scored region, its end tokens, and how many positions at most (code: 8)."""

    region: range
    end_ids: frozenset[int]
    limit: int | None = None


def scored_positions(prediction: Prediction, scope: Scope) -> tuple[int, ...]:
    """A_m(t): masked positions of the scored region whose argmax is not an end token, the first `limit` of them."""
    positions = (
        position
        for position, token in zip(prediction.positions, prediction.tokens, strict=True)
        if position in scope.region and token not in scope.end_ids
    )
    return tuple(positions)[: scope.limit]


@dataclass(frozen=True, slots=True)
class ChangeCount:
    """A normalised token change count: the sum over step pairs of the changed share of A. Exact, so ties are ties.

    `has_evidence` is False while A was empty in every step: nothing was seen, which is not the same as stable.
    """

    value: Fraction = Fraction(0)
    has_evidence: bool = False

    def __add__(self, other: "ChangeCount") -> "ChangeCount":
        return ChangeCount(self.value + other.value, self.has_evidence or other.has_evidence)


NOTHING_COUNTED = ChangeCount()


def token_change_count(steps: Sequence[Step], scope: Scope) -> ChangeCount:
    """TCC over the consecutive pairs of one history (n steps give n - 1 pairs), equation 3.

    A position committed in the first step of a pair counts as unchanged; pairs with an empty A say nothing.
    """
    value = Fraction(0)
    for step, following in pairwise(steps):
        scored = scored_positions(step.prediction, scope)
        if scored:
            value += Fraction(_num_changed(step.prediction, following.prediction, scored), len(scored))
    return ChangeCount(value, any(scored_positions(step.prediction, scope) for step in steps))


def _num_changed(before: Prediction, after: Prediction, positions: Iterable[int]) -> int:
    old, new = before.token_at(), after.token_at()
    return sum(new.get(position, old[position]) != old[position] for position in positions)


def mean_top1(prediction: Prediction, scope: Scope) -> float | None:
    """Mean probability of the argmax over A, equation 4; None where A is empty."""
    return _mean_over_scored(prediction, prediction.top1, scope)


def mean_negative_entropy(prediction: Prediction, scope: Scope) -> float | None:
    """Mean negative entropy (nats) over A, equation 5; None where A is empty."""
    return _mean_over_scored(prediction, prediction.negative_entropy, scope)


def mean_margin(prediction: Prediction, scope: Scope) -> float | None:
    """Mean top-1 minus top-2 probability over A, equation 6; None where A is empty."""
    return _mean_over_scored(prediction, prediction.margin, scope)


def _mean_over_scored(prediction: Prediction, values: Sequence[float], scope: Scope) -> float | None:
    at = dict(zip(prediction.positions, values, strict=True))
    scored = scored_positions(prediction, scope)
    return sum(at[position] for position in scored) / len(scored) if scored else None


ReadingFunction = Callable[[Prediction, Scope], float | None]
READINGS: dict[ScoreName, ReadingFunction] = {
    "top1": mean_top1,
    "entropy": mean_negative_entropy,
    "margin": mean_margin,
}
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)


@dataclass(frozen=True, slots=True)
class Score:
    """The assessment of one trajectory. `value` is what decides (None: no evidence), higher is better.

    `top1` is the source's own mean over A in its last prediction (0 where A was empty): the first tie-break.
    `commit_confidence` is the mean confidence of what was committed: it decides a first round without evidence.
    """

    value: float | None
    tcc: float
    top1: float
    commit_confidence: float


def history_score(trajectory: Trajectory, scope: Scope) -> Score:
    """`tcc`: minus the token change count of the round. Costs no forward."""
    count = token_change_count(trajectory.steps, scope)
    return _score(trajectory, scope, 0.0 - float(count.value) if count.has_evidence else None)


def reading_score(
    trajectory: Trajectory, scope: Scope, readings: Iterable[tuple[Prediction, Scope]], name: ScoreName
) -> Score:
    """`top1`, `entropy`, `margin`: the mean over the readers of the trajectory's end; readers with empty A are out."""
    read = READINGS[name]
    values = [value for prediction, reader in readings if (value := read(prediction, reader)) is not None]
    return _score(trajectory, scope, sum(values) / len(values) if values else None)


def _score(trajectory: Trajectory, scope: Scope, value: float | None) -> Score:
    commits = trajectory.commits
    return Score(
        value=value,
        tcc=float(token_change_count(trajectory.steps, scope).value),
        top1=(mean_top1(trajectory.steps[-1].prediction, scope) or 0.0) if trajectory.steps else 0.0,
        commit_confidence=sum(commit.confidence for commit in commits) / len(commits) if commits else 0.0,
    )
