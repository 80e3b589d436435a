"""Learns reliabilities from runs whose answers were judged: who leads to right answers, by what reading. Pure numbers.

Every member has a logistic of its own, drawn towards the one that all members share: with little to go by, or nothing
that tells right from wrong, members are compared as plain readings would compare them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Final

import torch
from torch import Tensor, nn

from tie_core.calibration import MAX_COEFFICIENT, Reliability

PRIOR: Final = 0.5
"""What one standard deviation of a coefficient away from the shared one costs, squared, in nats; half of it from 0."""
MAX_ITERATIONS: Final = 200
DIGITS: Final = 4  # significant ones, of a coefficient


@dataclass(frozen=True, slots=True)
class Trial:
    """What led to one answer: members with the readings by which they led, and whether it was right.

    It is right if everything that was handed over was: the chance is the product of theirs.
    """

    led: Sequence[tuple[str, float]]
    is_right: bool


def fit(trials: Sequence[Trial], members: Sequence[str]) -> Mapping[str, Reliability] | None:
    """The most likely reliabilities; None where all readings are alike, or there are none: they tell nothing then."""
    readings = [reading for trial in trials for _, reading in trial.led]
    if len(set(readings)) < 2:
        return None
    center, spread = fmean(readings), pstdev(readings)
    events = _Events.of([trial for trial in trials if trial.led], members, center, spread)
    weights = torch.zeros(len(members) + 1, 2, dtype=torch.float64, requires_grad=True)  # [M + 1, 2], the shared last
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=MAX_ITERATIONS, tolerance_grad=1e-8, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = events.surprise(weights)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    intercepts, slopes = _coefficients(weights.detach())
    return {
        name: _rounded(
            intercepts[member].item() - slopes[member].item() * center / spread, slopes[member].item() / spread
        )
        for member, name in enumerate(members)
    }


@dataclass(frozen=True, slots=True)
class _Events:
    """All rounds of all trials in a row; N of them in T trials."""

    member: Tensor  # [N] long
    reading: Tensor  # [N] float64, standardised
    trial: Tensor  # [N] long
    is_right: Tensor  # [T] bool

    @classmethod
    def of(cls, trials: Sequence[Trial], members: Sequence[str], center: float, spread: float) -> "_Events":
        rows = [
            (members.index(name), (reading - center) / spread, number)
            for number, trial in enumerate(trials)
            for name, reading in trial.led
        ]
        member, reading, trial = zip(*rows, strict=True)
        return cls(
            torch.tensor(member),
            torch.tensor(reading, dtype=torch.float64),
            torch.tensor(trial),
            torch.tensor([each.is_right for each in trials]),
        )

    def surprise(self, weights: Tensor) -> Tensor:
        """Minus the log posterior of weights [M + 1, 2], in nats."""
        intercepts, slopes = _coefficients(weights)
        log_chance = nn.functional.logsigmoid(intercepts[self.member] + slopes[self.member] * self.reading)
        all_right = torch.zeros(len(self.is_right), dtype=torch.float64).index_add(0, self.trial, log_chance)
        all_right = all_right.clamp(max=-1e-12)  # so that the log below is finite
        likelihood = torch.where(self.is_right, all_right, torch.log(-torch.expm1(all_right)))
        shared = weights[-1]
        return PRIOR * (weights[:-1] - shared).square().sum() + PRIOR / 2 * shared.square().sum() - likelihood.sum()


def _coefficients(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Intercepts and slopes, [M] each, of standardised readings; slopes are above 0, whatever the weight."""
    return weights[:-1, 0], nn.functional.softplus(weights[:-1, 1] + 0.5)


def _rounded(intercept: float, slope: float) -> Reliability:
    bounded = (max(-MAX_COEFFICIENT, min(MAX_COEFFICIENT, each)) for each in (intercept, slope))
    return Reliability(*(float(f"{each:.{DIGITS}g}") for each in bounded))
