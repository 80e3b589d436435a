"""What the zoo is meant to show, each target held against the measured rows, so that no verdict can go stale."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tie_core.evaluation.intervals import Paired
from tie_core.evaluation.rows import Row
from tie_core.evaluation.tables import in_percent, in_points, points_with_interval

LOWEST_MEMBER: Final = 0.45
HIGHEST_MEMBER: Final = 0.75
WIDEST_GAP: Final = 0.15
OVER_ENSEMBLE: Final = 0.05
OVER_BETTER: Final = 0.15


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target in words, what was measured, and whether it is met (None: not measured)."""

    target: str
    measured: str
    is_met: bool | None


def verdicts(rows: Mapping[str, Row]) -> tuple[Verdict, ...]:
    """All targets, on the rows of the members and of TIE at its default n."""
    members = {name: row.share for name, row in rows.items() if _is_member(name)}
    return (*_member_verdicts(members), *_gain_verdicts(rows, "tcc"), *_gain_verdicts(rows, "top1"))


def _is_member(name: str) -> bool:
    return name.startswith("post/") and name != "post/best"


def _member_verdicts(shares: Mapping[str, float]) -> Iterator[Verdict]:
    told = ", ".join(f"{name.removeprefix('post/')} {in_percent(share)}" for name, share in shares.items())
    inside = all(LOWEST_MEMBER <= share <= HIGHEST_MEMBER for share in shares.values())
    yield Verdict(f"members from {100 * LOWEST_MEMBER:.0f} to {100 * HIGHEST_MEMBER:.0f} %", told, inside)
    gap = round(max(shares.values()) - min(shares.values()), 9)  # 0.60 - 0.45 is less than 0.15 in binary
    yield Verdict(f"members less than {100 * WIDEST_GAP:.0f} points apart", f"{100 * gap:.1f}", gap < WIDEST_GAP)


def _gain_verdicts(rows: Mapping[str, Row], score: str) -> Iterator[Verdict]:
    row = rows.get(score)
    yield _gain(score, "the post-generation ensemble", OVER_ENSEMBLE, row, row.to_ensemble if row else None)
    yield _gain(score, "the better member", OVER_BETTER, row, row.to_better if row else None)


def _gain(score: str, other: str, least: float, row: Row | None, gain: Paired | None) -> Verdict:
    target = f"TIE, {score}: {in_points(least)} points on {other}, the paired interval above 0"
    if row is None:
        return Verdict(target, "not measured", None)
    if gain is None:
        return Verdict(target, "the same answers", False)
    return Verdict(target, points_with_interval(gain), gain.difference >= least and gain.interval.is_above_zero)
