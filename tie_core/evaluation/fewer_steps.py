"""What fewer denoising steps cost: each way to spend fewer forwards, in right answers against the exact way."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from tie_core.evaluation.conditions import Condition, tie_by
from tie_core.evaluation.intervals import LEAST_P, Paired, lowest_difference
from tie_core.evaluation.records import Record
from tie_core.evaluation.results import Results, Study, undecided
from tie_core.evaluation.sections import Cell, Figure, Grid, P, Points, Section, Share, Words, compared
from tie_core.evaluation.tables import figure, points_with_interval

EARLY: Final = {"early_commit": True}
FILL: Final = {"fill_end": True}
PARALLEL: Final[Mapping[str, Mapping[str, Any]]] = {
    "`threshold` 0.7": {"policy": "threshold", "tau": 0.7},
    "`threshold` 0.9": {"policy": "threshold", "tau": 0.9},
    "`threshold` 0.95": {"policy": "threshold", "tau": 0.95},
    "`factor` 0.5": {"policy": "factor", "factor": 0.5},
    "`factor` 1": {"policy": "factor", "factor": 1.0},
    "`factor` 1.5": {"policy": "factor", "factor": 1.5},
    "`entropy_bound` 0.01": {"policy": "entropy_bound", "gamma": 0.01},
    "`entropy_bound` 0.1": {"policy": "entropy_bound", "gamma": 0.1},
    "`entropy_bound` 0.5": {"policy": "entropy_bound", "gamma": 0.5},
    "exact, `cache: window`": {"cache": "window"},
    "exact, `fill_end`": FILL,
    "exact, `early_commit`, margin 0.5": {**EARLY, "early_commit_margin": 0.5},
    "exact, `early_commit`, margin 0.9": {**EARLY, "early_commit_margin": 0.9},
    "exact, `early_commit`, margin 0.99": {**EARLY, "early_commit_margin": 0.99},
    "`threshold` 0.9, `early_commit`": {"policy": "threshold", "tau": 0.9, **EARLY},
    "`factor` 1, `early_commit`": {"policy": "factor", "factor": 1.0, **EARLY},
    "`entropy_bound` 0.1, `early_commit`": {"policy": "entropy_bound", "gamma": 0.1, **EARLY},
    "`threshold` 0.9, `fill_end`": {"policy": "threshold", "tau": 0.9, **FILL},
    "exact, `early_commit`, `fill_end`": {**EARLY, **FILL},
}
"""By what is shown: options at the interval that the ensemble has under that policy."""
SEVERAL: Final[Mapping[str, Mapping[str, Any]]] = {
    "`top_k`, k = 2": {"k": 2},
    "`top_k`, k = 4": {"k": 4},
    "`top_k`, k = 2, `early_commit`": {"k": 2, **EARLY},
}
"""With n / k as their interval, so that a round hands over as much."""
EXACT: Final = tie_by("tcc")
NOTE: Final = """\
Ways to spend fewer forwards, each with tcc, against the exact way on the same items. k tokens a step go with n / k.
"Approximated" is the share of requests in which an approximation committed something, or a step read a window; "halves
within" means at most half of the exact way's forwards, and an accuracy that is surely not {margin:.0f} points below it:
so says the lower bound of Agresti and Min's paired interval, which few items leave wide. "Worse" is what McNemar's p
tells apart ({p}). A round is "tied" where no member alone has the best score: then mostly the top-1 probability of the
answer positions decides. {parallel} The constants were tried on the zoo alone; with other models they may save less or
cost more."""
MARGIN: Final = 0.05
"""How much of the exact way's share of right answers "within" may lose at most."""


@dataclass(frozen=True, slots=True)
class Price:
    """One way against the exact one (`to_exact` is None where the same items are right).

    `forwards` are all members' for a request, `share_of_exact` their ratio; `tied` is a share of rounds,
    `approximated` one of requests.
    """

    label: str
    right: Share
    to_exact: Paired | None
    forwards: float
    share_of_exact: float
    tied: float
    approximated: float
    halves_within: bool


def ways(study: Study) -> Mapping[str, Condition]:
    """By their labels, the exact one first."""
    n = study.intervals["tcc"]
    several = {
        label: {"policy": "top_k", **options, "interval": max(1, n // options["k"])}
        for label, options in SEVERAL.items()
    }
    options = {**PARALLEL, **several}
    return {"exact": EXACT} | {label: tie_by("tcc", label, **options[label]) for label in options}


def conditions(study: Study) -> tuple[Condition, ...]:
    return tuple(ways(study).values())


def prices(results: Results) -> tuple[Price, ...]:
    exact = results.runs(EXACT)
    return tuple(_price(label, results.runs(way), exact) for label, way in ways(results.study).items())


def _price(label: str, runs: tuple[Record, ...], exact: tuple[Record, ...]) -> Price:
    right, exactly = [run.is_right for run in runs], [run.is_right for run in exact]
    tied, num = (sum(counts) for counts in zip(*undecided(runs), strict=True))
    forwards = fmean(run.num_forwards for run in runs)
    share_of_exact = forwards / fmean(run.num_forwards for run in exact)
    return Price(
        label=label,
        right=Share.of_right(right),
        to_exact=compared(right, exactly),
        forwards=forwards,
        share_of_exact=share_of_exact,
        tied=tied / max(1, num),
        approximated=fmean(bool(run.approximations) for run in runs),
        halves_within=share_of_exact <= 0.5 and lowest_difference(right, exactly) > -MARGIN,
    )


def render(results: Results) -> Section:
    told = prices(results)
    header = ("", "right, %", "over exact", "p", "forwards", "of exact, %", "tied, %", "approximated, %")
    grid = Grid((*header, "halves within"), tuple(map(_row, told)))
    note = NOTE.format(margin=100 * MARGIN, p=f"p < {LEAST_P}", parallel=_parallel(results.study))
    return Section("fewer_steps", "Fewer steps", note, (grid,), (_cheapest(told), *_worse(told)))


def _parallel(study: Study) -> str:
    n = study.resolve(ways(study)["`threshold` 0.9"].options)["interval"]
    return (
        f"n is {study.intervals['tcc']}, and {n} under `threshold`, where a step fills more; between different"
        " tokenizers a round still runs on to the end of a block, in so few steps that members seldom change a token."
    )


def _row(price: Price) -> tuple[Cell, ...]:
    cells: tuple[Cell, ...] = (Words(price.label), price.right, Points(price.to_exact), P(price.to_exact))
    cells += (Figure(price.forwards), Figure(100 * price.share_of_exact, 0), Figure(100 * price.tied, 0))
    return (*cells, Figure(100 * price.approximated, 0), Words("yes" if price.halves_within else "no"))


def _cheapest(told: tuple[Price, ...]) -> str:
    exact, *cheaper = told
    halving = [price for price in cheaper if price.halves_within]
    said = f"{len(halving)} of {len(cheaper)} ways halve the forwards within {100 * MARGIN:.0f} points of exact."
    if not halving:
        return said
    best = min(halving, key=lambda price: price.forwards)
    return (
        f"{said} The cheapest is {best.label}: {figure(best.forwards)} forwards a request instead of"
        f" {figure(exact.forwards)}, {points_with_interval(best.to_exact)} points."
    )


def _worse(told: tuple[Price, ...]) -> tuple[str, ...]:
    return tuple(
        f"{price.label} is worse: {points_with_interval(price.to_exact)} points."
        for price in told
        if price.to_exact is not None and price.to_exact.is_told_apart and price.to_exact.difference < 0
    )
