"""What fewer denoising steps cost: each way to spend fewer forwards, in right answers against the exact way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from tie_core import zoo
from tie_core.evaluation.intervals import Interval, Paired, paired, wilson
from tie_core.evaluation.measuring import Measurement
from tie_core.evaluation.page import SPLIT_NOTES, Circumstances
from tie_core.evaluation.settings import Setting
from tie_core.evaluation.tables import figure, p_value, percent_with_interval, points_with_interval, table

EACH_SLOT: Final = {"interval": zoo.PARALLEL_INTERVAL}
THRESHOLD: Final = {**EACH_SLOT, "policy": "threshold"}
FACTOR: Final = {**EACH_SLOT, "policy": "factor"}
ENTROPY_BOUND: Final = {**EACH_SLOT, "policy": "entropy_bound"}
TWO: Final = {"k": 2, "interval": zoo.INTERVAL // 2}
FOUR: Final = {"k": 4, "interval": zoo.INTERVAL // 4}
EARLY: Final = {"early_commit": True}
FILL: Final = {"fill_end": True}

WAYS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "exact": ("exact: `top_k`, k = 1", {}),
    "k2": ("`top_k`, k = 2", TWO),
    "k4": ("`top_k`, k = 4", FOUR),
    "tau70": ("`threshold` 0.7", {**THRESHOLD, "tau": 0.7}),
    "tau90": ("`threshold` 0.9", {**THRESHOLD, "tau": 0.9}),
    "tau95": ("`threshold` 0.95", {**THRESHOLD, "tau": 0.95}),
    "factor50": ("`factor` 0.5", {**FACTOR, "factor": 0.5}),
    "factor100": ("`factor` 1", {**FACTOR, "factor": 1.0}),
    "factor150": ("`factor` 1.5", {**FACTOR, "factor": 1.5}),
    "gamma1": ("`entropy_bound` 0.01", {**ENTROPY_BOUND, "gamma": 0.01}),
    "gamma10": ("`entropy_bound` 0.1", {**ENTROPY_BOUND, "gamma": 0.1}),
    "gamma50": ("`entropy_bound` 0.5", {**ENTROPY_BOUND, "gamma": 0.5}),
    "window": ("exact, `cache: window`", {"cache": "window"}),
    "fill": ("exact, `fill_end`", FILL),
    "early50": ("exact, `early_commit`, margin 0.5", {**EARLY, "early_commit_margin": 0.5}),
    "early90": ("exact, `early_commit`, margin 0.9", {**EARLY, "early_commit_margin": 0.9}),
    "early99": ("exact, `early_commit`, margin 0.99", {**EARLY, "early_commit_margin": 0.99}),
    "k2-early": ("`top_k`, k = 2, `early_commit`", {**TWO, **EARLY}),
    "tau90-early": ("`threshold` 0.9, `early_commit`", {**THRESHOLD, **EARLY}),
    "factor100-early": ("`factor` 1, `early_commit`", {**FACTOR, **EARLY}),
    "gamma10-early": ("`entropy_bound` 0.1, `early_commit`", {**ENTROPY_BOUND, **EARLY}),
    "tau90-fill": ("`threshold` 0.9, `fill_end`", {**THRESHOLD, **FILL}),
    "early90-fill": ("exact, `early_commit`, `fill_end`", {**EARLY, **FILL}),
}
"""By name: a label and its options; where a margin, tau, factor or gamma is not said, it is the library's default."""
SCORES: Final = ("tcc", "top1")
SETTINGS: Final = tuple(
    Setting(f"{score}-{name}", label, {"score": score, **options}, baseline=f"{score}-exact")
    for score in SCORES
    for name, (label, options) in WAYS.items()
)


@dataclass(frozen=True, slots=True)
class Price:
    """One way against the exact one of the same score (`to_exact` is None where the same items are right).

    `forwards` are all members' for a request, `share_of_exact` their ratio; `approximated` is the share of requests in
    which an approximation committed something.
    """

    setting: Setting
    share: float
    interval: Interval
    to_exact: Paired | None
    forwards: float
    share_of_exact: float
    approximated: float
    halves_within: bool


def prices_of(settings: Sequence[Setting], measurements: Mapping[str, Measurement]) -> tuple[Price, ...]:
    """A price for every setting. `halves_within`: at most half the forwards, and not below the exact way's interval."""
    return tuple(_price(setting, measurements[setting.name], measurements[setting.baseline]) for setting in settings)


def _price(setting: Setting, measured: Measurement, exact: Measurement) -> Price:
    right, exactly = _right(measured), _right(exact)
    share_of_exact = _forwards(measured) / _forwards(exact)
    return Price(
        setting=setting,
        share=fmean(right),
        interval=wilson(sum(right), len(right)),
        to_exact=None if right == exactly else paired(right, exactly),
        forwards=_forwards(measured),
        share_of_exact=share_of_exact,
        approximated=fmean(run.is_approximate for run in measured.answered),
        halves_within=share_of_exact <= 0.5 and fmean(right) >= wilson(sum(exactly), len(exactly)).low,
    )


def _right(measured: Measurement) -> tuple[bool, ...]:
    return tuple(run.is_right for run in measured.answered)


def _forwards(measured: Measurement) -> float:
    return fmean(sum(run.decode_forwards.values()) + sum(run.score_forwards.values()) for run in measured.answered)


def render(told: Circumstances, settings: Sequence[Setting], measurements: Mapping[str, Measurement]) -> str:
    """The page in Markdown."""
    prices = prices_of(settings, measurements)
    by_score = {score: [price for price in prices if price.setting.options["score"] == score] for score in SCORES}
    measured = {score: group for score, group in by_score.items() if group}
    return "\n".join(
        (
            OPENING.format(told=told, note=SPLIT_NOTES[told.split]),
            *(f"## TIE, {score}\n\n{_table(group)}" for score, group in measured.items()),
            "## Reading the figures\n",
            "".join(f"- {line}\n" for score, group in measured.items() for line in _sentences(score, group)) + LIMITS,
        )
    )


def _table(prices: Sequence[Price]) -> str:
    header = ("", "right, %", "over exact", "p", "forwards", "of exact, %", "approximated, %", "halves within")
    return table(header, (tuple(_cells(price)) for price in prices))


def _cells(price: Price) -> Iterator[str]:
    yield price.setting.label
    yield percent_with_interval(price.share, price.interval)
    yield points_with_interval(price.to_exact)
    yield p_value(price.to_exact)
    yield figure(price.forwards)
    yield figure(100 * price.share_of_exact, 0)
    yield figure(100 * price.approximated, 0)
    yield "yes" if price.halves_within else "no"


def _sentences(score: str, prices: Sequence[Price]) -> Iterator[str]:
    halving = [price for price in prices if price.halves_within]
    told = f"{score}: {len(halving)} of {len(prices) - 1} ways halve the forwards within the interval of exact."
    if halving:
        cheapest = min(halving, key=lambda price: price.forwards)
        told += f" The cheapest is {cheapest.setting.label}: {figure(cheapest.forwards)} forwards a request instead of"
        told += f" {figure(prices[0].forwards)}, {points_with_interval(cheapest.to_exact)} points."
    yield told
    for price in prices:
        if price.to_exact is not None and price.to_exact.interval.high < 0:
            yield f"{score}: {price.setting.label} is worse: {points_with_interval(price.to_exact)} points."


OPENING: Final = """\
# Fewer steps

What each way to spend fewer forwards costs in right answers on the embedded zoo. `make prices` measures it and writes
this page; it is not edited by hand. How the policies and approximations work is in the [glossary](glossary.md).

- Items: the first {told.num_items:,} worksheets of the {told.split} seed ({told.seed}), the same ones in every row.
  {note}
- Members: both, with block 8, float32, greedy. A slot of the reasoning is one block, and a round hands over one slot in
  every row: n = 8 where a step commits one token, n = 8 / k with `top_k`, n = 1 under the other policies.
- Checkpoints (SHA-256 of the weights, first digits): {told.all_weights}.
- Measured on {told.date}: {told.all_versions}; {told.machine}.

In brackets: 95 % intervals, Wilson's for a share, normal ones for paired differences over the same items. p is
McNemar's exact two-sided test, without a correction for the number of rows. Forwards are means over requests, of both
members together, those to score included. "Approximated" is the share of requests in which `early_commit` or `fill_end`
committed something, or a step read a window; "halves within" means at most half of the exact way's forwards, at an
accuracy not below its interval.
"""

LIMITS: Final = """\
- The constants were tried on the zoo alone; with other models they may save less or cost more. A worksheet fills its
  reasoning to the last position, so `fill_end` acts in the answer only, behind the pair member's nine tokens.
"""
