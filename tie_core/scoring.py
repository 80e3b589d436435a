"""How reliable a trajectory is: token change count and the confidence readings. Section 4.2.

Knows predictions and positions, not models. A is always `scored_positions`: the masked answer positions whose argmax
is not an end token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import fsum
from typing import Literal

from tie_core.options import ScoreName
from tie_core.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a member is assessed: its scored region, its end tokens, and how many positions at most (code: 8).

    `is_normalised` is False in the paper's ablation alone (table 8): changes are then not divided by |A|.
    """

    region: range
    end_ids: frozenset[int]
    limit: int | None = None
    is_normalised: bool = True

    def weigh(self, num_changed: int, num_scored: int) -> Fraction:
        """What so many changes among so many scored positions add to the token change count."""
        return Fraction(num_changed, num_scored if self.is_normalised else 1)


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


@dataclass(frozen=True, slots=True)
class History:
    """What one member's predictions since the last relay say of its answer; `after` each prediction a new one.

    `changes` is the token change count over the consecutive pairs (n steps give n - 1). `top1` is the
    mean probability over A in the last prediction that had one (0 before).
    """

    scope: Scope
    changes: ChangeCount = NOTHING_COUNTED
    top1: float = 0.0
    last: Prediction | None = None

    def after(self, prediction: Prediction) -> "History":
        top1 = mean_top1(prediction, self.scope)
        count = ChangeCount(self._changed_share(prediction), has_evidence=top1 is not None)
        return History(self.scope, self.changes + count, self.top1 if top1 is None else top1, prediction)

    def _changed_share(self, prediction: Prediction) -> Fraction:
        """Of the last A, the share whose argmax differs now; 0 where A was empty.

        A position that the step committed counts as unchanged: the next prediction no longer has it.
        """
        if self.last is None or not (scored := scored_positions(self.last, self.scope)):
            return Fraction(0)
        before, now = self.last.token_at(), prediction.token_at()
        num_changed = sum(now.get(position, before[position]) != before[position] for position in scored)
        return self.scope.weigh(num_changed, len(scored))


def mean_top1(prediction: Prediction, scope: Scope) -> float | None:
    """Mean probability of the argmax over A; None where A is empty."""
    return _mean_over_scored(prediction, prediction.top1, scope)


def mean_negative_entropy(prediction: Prediction, scope: Scope) -> float | None:
    """Mean negative entropy (nats) over A; None where A is empty."""
    return _mean_over_scored(prediction, prediction.negative_entropy, scope)


def mean_margin(prediction: Prediction, scope: Scope) -> float | None:
    """Mean top-1 minus top-2 probability over A; None where A is empty."""
    return _mean_over_scored(prediction, prediction.margin, scope)


def _mean_over_scored(prediction: Prediction, values: Sequence[float], scope: Scope) -> float | None:
    at = dict(zip(prediction.positions, values, strict=True))
    scored = scored_positions(prediction, scope)
    return sum(at[position] for position in scored) / len(scored) if scored else None


@dataclass(frozen=True, slots=True)
class Score:
    """The assessment of one trajectory. `value` is what decides (None: no evidence), higher is better.

    `tcc` and `top1` are its own history's; `top1` is the first tie-break. `commit_confidence`, the mean confidence
    of what was committed, decides a first round without evidence.
    """

    value: float | None
    tcc: float
    top1: float
    commit_confidence: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is to judge a trajectory by: its history, the confidence of each token that it committed in the round,
    and what was read of its end, each reading with its reader's scope.
    """

    history: History
    confidences: Sequence[float]
    readings: Sequence[tuple[Prediction, Scope]]


def history_value(history: History) -> float | None:
    """`tcc`: minus the token change count of the round. Costs no forward."""
    return 0.0 - float(history.changes.value) if history.changes.has_evidence else None


def end_value(evidence: Evidence) -> float | None:
    """`tcc_end` (ours): `tcc` with one pair more, the last prediction and the trajectory's own reading of its end.

    What the round's last commit changes counts too. Costs a forward for each member but the leader.
    """
    history = evidence.history
    for prediction, _ in evidence.readings:
        history = history.after(prediction)
    return history_value(history)


def commit_value(evidence: Evidence) -> float | None:
    """`commit` (ours): the mean confidence of the tokens committed in the round. Costs no forward."""
    confidences = evidence.confidences
    return sum(confidences) / len(confidences) if confidences else None


def commit_top1_value(evidence: Evidence) -> float | None:
    """`commit_top1` (ours): the product of `commit` and `top1`, what was written and what it makes of the answer."""
    written, read = commit_value(evidence), reading_value(mean_top1, evidence)
    return None if written is None or read is None else written * read


def reading_value(read: Callable[[Prediction, Scope], float | None], evidence: Evidence) -> float | None:
    """`top1`, `entropy`, `margin`: the mean over the readers of a trajectory's end; readers with empty A are out.

    Summed exactly, so that it does not depend on the members' order.
    """
    values = [value for prediction, scope in evidence.readings if (value := read(prediction, scope)) is not None]
    return fsum(values) / len(values) if values else None


Readers = Literal["nobody", "itself", "everybody"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a score is made: who reads the end of a trajectory for it (`everybody`: itself, without `cross_model`)."""

    value: Callable[[Evidence], float | None]
    readers: Readers = "nobody"


SCORES: dict[ScoreName, Rule] = {
    "tcc": Rule(lambda evidence: history_value(evidence.history)),
    "top1": Rule(partial(reading_value, mean_top1), "everybody"),
    "entropy": Rule(partial(reading_value, mean_negative_entropy), "everybody"),
    "margin": Rule(partial(reading_value, mean_margin), "everybody"),
    "tcc_end": Rule(end_value, "itself"),
    "commit": Rule(commit_value),
    "commit_top1": Rule(commit_top1_value, "everybody"),
}
