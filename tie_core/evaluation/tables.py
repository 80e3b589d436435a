"""Figures and tables in Markdown."""

from collections.abc import Iterable, Sequence

from tie_core.evaluation.intervals import Interval, Paired, Tested

NOTHING = "–"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column is text, the others are figures."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))


def in_percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def in_points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def percent_with_interval(share: float, interval: Interval) -> str:
    return f"{100 * share:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points_with_interval(paired: Paired | None) -> str:
    if paired is None:
        return NOTHING
    bounds = f"[{in_points(paired.interval.low)}, {in_points(paired.interval.high)}]"
    return f"{in_points(paired.difference)} {bounds}"


def p_value(tested: Tested | None) -> str:
    """Small ones as a bound, since their digits say nothing."""
    if tested is None:
        return NOTHING
    return "< 0.0001" if tested.p_value < 0.0001 else f"{tested.p_value:.4f}"


def figure(value: float | None, digits: int = 1) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"
