"""Intervals and tests for shares of right answers, alone and paired over the same items. All at 95 %, two-sided.

Pure functions over booleans: they know no model and no task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist, fmean, variance

Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds of a 95 % interval, in the unit of the estimate."""

    low: float
    high: float

    @property
    def is_above_zero(self) -> bool:
        return self.low > 0


@dataclass(frozen=True, slots=True)
class Paired:
    """Two ways of answering the same items: the difference of their shares, and how surely it is one.

    `only_first` and `only_second` count the items that one alone answers right; `p_value` is McNemar's exact one.
    """

    difference: float
    interval: Interval
    only_first: int
    only_second: int
    p_value: float


def wilson(num_right: int, num: int) -> Interval:
    """Wilson's score interval of a share: inside [0, 1] and sensible at its ends."""
    assert 0 <= num_right <= num
    assert num > 0
    share = num_right / num
    centre = share + Z**2 / (2 * num)
    half = Z * sqrt(share * (1 - share) / num + Z**2 / (4 * num**2))
    scale = 1 + Z**2 / num
    return Interval(max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale))


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """The share of `first` minus that of `second`, item by item. Needs two items."""
    differences = [one - other for one, other in zip(first, second, strict=True)]
    mean = fmean(differences)
    half = Z * sqrt(variance(differences) / len(differences))
    only_first, only_second = differences.count(1), differences.count(-1)
    return Paired(
        difference=mean,
        interval=Interval(mean - half, mean + half),
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test: discordant items fall on either side like a fair coin."""
    num_discordant = only_first + only_second
    tail = sum(comb(num_discordant, count) for count in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << num_discordant))
