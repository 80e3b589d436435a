"""What the engine is meant to cost, each target held against the samples, so that no verdict can go stale."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.archive import Measured
from bench.modes import EXACT, WINDOW
from bench.ratios import (
    Ratio,
    cpu,
    ensemble_ratio,
    forwards_per_request,
    positions,
    ratio,
    scoring_ratio,
    speed,
)
from bench.suite import Samples
from tie_core.evaluation.intervals import wilson
from tie_core.evaluation.tables import in_percent

ALONE: Final = 1.10
BATCHED: Final = 0.80
THROUGHPUT: Final = 1.6
FLAT: Final = 1.15
GROWTH_BYTES: Final = 200_000_000
ROWS_TOGETHER: Final = 7.0
SLOWEST: Final = 1.3
LIVEZ_SECONDS: Final = 0.020
ENSEMBLE: Final = 1.03
SCORING: Final = 0.03
CACHED_POSITIONS: Final = 0.25
CACHED_CPU: Final = 0.40
HALF: Final = 0.5
NOT_MEASURED: Final = "not measured"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target in words, what was measured, and whether it is met (None: not measured)."""

    target: str
    measured: str
    is_met: bool | None


def verdicts(measured: Mapping[str, Measured]) -> tuple[Verdict, ...]:
    """All targets; those of a benchmark that was not run are not measured."""
    return tuple(
        verdict
        for name, judge in JUDGES.items()
        for verdict in judge(dict(measured[name].samples) if name in measured else {})
    )


def _at_most(target: str, most: float, found: Ratio | None) -> Verdict:
    if found is None:
        return Verdict(target, NOT_MEASURED, None)
    return Verdict(target, found.words, found.middle <= most)


def _ratio(samples: Samples, side: str, other: str) -> Ratio | None:
    return ratio(samples, side, other) if side in samples and other in samples else None


def _concurrency(samples: Samples) -> Iterator[Verdict]:
    yield _at_most(
        f"1 request: CPU time at most {ALONE:.2f} x the raw loop's, one by one",
        ALONE,
        _ratio(samples, "served 1", "raw block 1"),
    )
    for level in (8, 64):
        yield _at_most(
            f"{level} at once: CPU time at most {BATCHED:.2f} x the raw loop's, padded to the longest prompt",
            BATCHED,
            _ratio(samples, f"served {level}", f"raw block {level}"),
        )
    target = f"8 at once: throughput at least {THROUGHPUT} x the raw loop's on one thread"
    if "served 8" in samples:
        found = ratio(samples, "served 8", "raw block 8", speed)
        yield Verdict(target, found.words, found.middle >= THROUGHPUT)
    else:
        yield Verdict(target, NOT_MEASURED, None)


def _growth(samples: Samples) -> Iterator[Verdict]:
    """Level by level of one turn, since they follow each other closely there."""
    turns = zip(*samples.values(), strict=True)
    costs = [[cpu(sample) for sample in turn] for turn in turns]
    spans = tuple(max(turn) / min(turn) for turn in costs if len(turn) > 1)
    target = f"CPU time a token from 4 to 64 at once: the most at most {FLAT:.2f} x the least"
    yield _at_most(target, FLAT, Ratio(spans) if spans else None)


def _vocabulary(samples: Samples) -> Iterator[Verdict]:
    yield _at_most(
        f"126,464 rows, 8 at once: CPU time at most {BATCHED:.2f} x the raw loop's",
        BATCHED,
        _ratio(samples, "served", "raw block"),
    )
    target = f"126,464 rows, 8 at once: memory grows by less than {GROWTH_BYTES // 10**6} MB over idle"
    grown = max((sample.facts["grown_bytes"] for sample in samples.get("served", [])), default=None)
    yield _below(target, grown, GROWTH_BYTES, 1e-6, "MB")


def _below(target: str, found: float | None, most: float, scale: float, unit: str) -> Verdict:
    if found is None:
        return Verdict(target, NOT_MEASURED, None)
    return Verdict(target, f"{found * scale:.0f} {unit}", found < most)


def _arrivals(samples: Samples) -> Iterator[Verdict]:
    target = f"8 arrivals 0.25 s apart: at least {ROWS_TOGETHER:.0f} rows a forward while all run"
    rows = [sample.facts.get("rows_together") for sample in samples.get("served", [])]
    known = [value for value in rows if value is not None]
    if not known:
        yield Verdict(target, "they never ran together" if rows else NOT_MEASURED, False if rows else None)
    else:
        yield Verdict(target, f"{median(known):.2f}", median(known) >= ROWS_TOGETHER)


def _crowd(samples: Samples) -> Iterator[Verdict]:
    passes = samples.get("served", [])
    slowest = tuple(max(sample.latencies) / median(sample.latencies) for sample in passes)
    yield _at_most(
        f"64 at once: the slowest at most {SLOWEST} x the median", SLOWEST, Ratio(slowest) if slowest else None
    )
    livez = max((sample.facts["livez_p99"] for sample in passes), default=None)
    yield _below(f"64 at once: `/livez` p99 under {1000 * LIVEZ_SECONDS:.0f} ms", livez, LIVEZ_SECONDS, 1000, "ms")


def _ensemble(samples: Samples) -> Iterator[Verdict]:
    for other, words in (("twin", "one tokenizer"), ("dream", "two tokenizers")):
        yield _at_most(
            f"TIE over two members, tcc, {words}: CPU time at most {ENSEMBLE:.2f} x the members' own runs",
            ENSEMBLE,
            ensemble_ratio(samples, other) if f"{other}: tie" in samples else None,
        )


def _scores(samples: Samples) -> Iterator[Verdict]:
    target = "top1: exactly M^2 - M forwards a round more than tcc"
    cost = f"top1: CPU time within {100 * SCORING:.0f} % of what its forwards come to"
    if not samples:
        yield Verdict(target, NOT_MEASURED, None)
        yield Verdict(cost, NOT_MEASURED, None)
        return
    extra = [sample.num_forwards("score") / sample.rounds if sample.rounds else 0.0 for sample in samples["top1"]]
    num_members = len(samples["top1"][0].forwards)
    is_met = all(value == num_members**2 - num_members for value in extra)
    yield Verdict(target, f"{median(extra):.2f} a round, M = {num_members}", is_met)
    found = scoring_ratio(samples)
    yield Verdict(cost, found.words, abs(found.middle - 1) <= SCORING)


def _cache(samples: Samples) -> Iterator[Verdict]:
    for figure, most, words in ((positions, CACHED_POSITIONS, "positions"), (cpu, CACHED_CPU, "CPU time")):
        has_both = WINDOW.name in samples
        found = ratio(samples, WINDOW.name, EXACT.name, figure) if has_both else None
        yield _at_most(f"window cache, 128 + 256: {words} at most {most:.2f} x exact", most, found)


def _embedded(samples: Samples) -> Iterator[Verdict]:
    target = "a setting that halves the forwards, its accuracy within exact's 95 % interval"
    if EXACT.name not in samples:
        yield Verdict(target, NOT_MEASURED, None)
        return
    (exact,) = samples[EXACT.name]
    num = len(exact.latencies)
    least = wilson(int(exact.facts["right"]), num).low
    found = [
        f"{name}: {forwards_per_request(sample) / forwards_per_request(exact):.2f} x, {in_percent(share)}"
        for name, (sample, *_) in samples.items()
        if len(sample.latencies) == num
        and forwards_per_request(sample) <= HALF * forwards_per_request(exact)
        and (share := sample.facts["right"] / num) >= least
    ]
    yield Verdict(target, "; ".join(found) or "none", bool(found))


JUDGES: Final[Mapping[str, Callable[[Samples], Iterator[Verdict]]]] = {
    "concurrency": _concurrency,
    "growth": _growth,
    "vocabulary": _vocabulary,
    "arrivals": _arrivals,
    "crowd": _crowd,
    "ensemble": _ensemble,
    "scores": _scores,
    "cache": _cache,
    "embedded": _embedded,
}
