"""Intervals and tests for shares of right answers, alone and paired over the same items, and for means. All at 95 %,
two-sided.

Pure functions over booleans and numbers: they know no model and no task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, variance
from typing import Final

import numpy as np

CONFIDENCE: Final = 0.95
Z: Final = NormalDist().inv_cdf(0.975)
LEAST_P: Final = 0.05
"""A difference is told apart from 0 where its test's p is below."""
NUM_FLIPS: Final = 19_999
FLIPS_SEED: Final = 0
NUM_ANGLES: Final = 100_001


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds of a 95 % interval, in the unit of the estimate."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tested:
    """A difference, and the p-value of the test of whether it is one."""

    difference: float
    p_value: float

    @property
    def is_told_apart(self) -> bool:
        return self.p_value < LEAST_P


@dataclass(frozen=True, slots=True)
class Paired(Tested):
    """Two ways of answering the same items: the difference of their shares, and how surely it is one.

    `only_first` and `only_second` count the items that one alone answers right; `p_value` is McNemar's exact one.
    """

    interval: Interval
    only_first: int
    only_second: int


def wilson(num_right: float, num: float) -> Interval:
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


def unpaired(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Welch's, of the difference of two means of independent samples: by their own variances, and by Student's t. Needs
    two of each; None where neither sample varies, which says nothing of how far they would."""
    parts = [variance(sample) / len(sample) for sample in (first, second)]
    if not any(parts):
        return None
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1))
    half = student(degrees) * sqrt(sum(parts))
    difference = fmean(first) - fmean(second)
    return Interval(difference - half, difference + half)


def student(degrees: float) -> float:
    """Within this of 0 lie 95 % of Student's t. Its density over the angle whose tangent is t / sqrt(degrees) is a
    power of the cosine, which is summed up."""
    angles = np.linspace(0, np.pi / 2, NUM_ANGLES)
    density = np.cos(angles) ** (degrees - 1)
    within = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return sqrt(degrees) * float(np.tan(np.interp(CONFIDENCE * within[-1], within, angles)))


def sign_flipped(differences: Sequence[float]) -> Tested | None:
    """Their mean, tested by flipping their signs at random: as if each difference were as likely the other way round.
    The flips are the same every time. None where nothing differs."""
    sizes, counts = np.unique(np.abs(differences).round(9), return_counts=True)
    if not sizes.any():
        return None
    num_kept = np.random.default_rng(FLIPS_SEED).binomial(counts, 0.5, (NUM_FLIPS, len(counts)))
    sums = np.abs((2 * num_kept - counts) @ sizes)
    num_as_far = int((sums > abs(sum(differences)) - 1e-6).sum())
    return Tested(fmean(differences), (1 + num_as_far) / (1 + NUM_FLIPS))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: where nothing differs, the chance that any of them is below p is at most p."""
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def lowest_difference(first: Sequence[bool], second: Sequence[bool]) -> float:
    """The lower bound of the same difference by Agresti and Min's interval (2005): half an item more in each cell of
    the fourfold table, so that it says something where few items differ, or none."""
    differences = [one - other for one, other in zip(first, second, strict=True)]
    gained, num = sum(differences), len(differences) + 2
    num_discordant = sum(map(abs, differences)) + 1
    return (gained - Z * sqrt(num_discordant - gained**2 / num)) / num


def clustered(counts: Sequence[tuple[int, int]]) -> Interval:
    """Of a share of events that come in clusters, such as a run's rounds: `counts` has so many of so many, by cluster.

    Wilson's interval with the effective number of events: theirs by the design effect, which is the variance between
    clusters (Cochran's of a ratio) over that of independent events; no more than there are, and where none or all of
    them count no more than the clusters that have any.
    """
    counts = [each for each in counts if each[1]]
    num_clusters, num = len(counts), sum(size for _, size in counts)
    share = sum(count for count, _ in counts) / num
    spread = sum((count - share * size) ** 2 for count, size in counts)
    if num_clusters < 2 or share in (0.0, 1.0):
        return wilson(share * num_clusters, num_clusters)
    effect = num_clusters / (num_clusters - 1) * spread / num / (share * (1 - share))
    effective = num / max(1.0, effect)
    return wilson(share * effective, effective)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test: discordant items fall on either side like a fair coin."""
    num_discordant = only_first + only_second
    tail = ways = 1
    for num_right in range(min(only_first, only_second)):
        ways = ways * (num_discordant - num_right) // (num_right + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << num_discordant))
