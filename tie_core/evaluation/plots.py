"""The plots of a report, as SVG: right answers with their intervals, and when the leader changes. Needs matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tie_core.errors import TaskError
from tie_core.evaluation.conditions import Condition
from tie_core.evaluation.intervals import wilson
from tie_core.evaluation.main_table import conditions as main_conditions
from tie_core.evaluation.results import Results, switches_by_stage
from tie_core.evaluation.trajectories import relayed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_BINS = 10  # of a run, in the plot of switches
MISSING = "plots need matplotlib: install it with `.venv/bin/pip install -e '.[eval]'`, or leave out --plots"


def check_matplotlib() -> None:
    """Raises:
    TaskError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise TaskError(MISSING) from None


def draw(name: str, results: Results, folder: Path) -> Path | None:
    """The plot of a table, if it has one: its path below the folder."""
    drawing = {"main": _accuracies, "switches": _switches}.get(name)
    if drawing is None:
        return None
    import matplotlib

    figure = drawing(results)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.study.task.name}-{name}.svg"
    with matplotlib.rc_context({"svg.hashsalt": "tie"}):
        figure.savefig(path, metadata={"Date": None})  # the same figures give the same file
    return path


def _accuracies(results: Results) -> "Figure":
    rows = [(f"{name} alone", results.right_alone(name)) for name in results.study.members]
    rows += [(condition.label, results.right(condition)) for condition in main_conditions(results.study)]
    figure, axes = _figure(0.8 + 0.35 * len(rows))
    for place, (_, right) in enumerate(rows):
        interval, share = wilson(sum(right), len(right)), sum(right) / len(right)
        bars = [[100 * (share - interval.low)], [100 * (interval.high - share)]]
        axes.errorbar([100 * share], [place], xerr=bars, fmt="o", color="#1f5f99", capsize=3)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("right, % (95 % intervals)")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _switches(results: Results) -> "Figure":
    figure, axes = _figure(3.0)
    for condition in relayed(results.study):
        axes.plot(*_rates(results, condition), marker="o", label=condition.label)
    axes.set_xlabel("part of the run, %")
    axes.set_ylabel("rounds with another leader, %")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _rates(results: Results, condition: Condition) -> tuple[Sequence[float], Sequence[float]]:
    """The middle of each part of the run that has rounds, and the share of them that changed the leader."""
    parts = enumerate(switches_by_stage(results.runs(condition), NUM_BINS))
    points = [(100 * (place + 0.5) / NUM_BINS, 100 * switched / num) for place, (switched, num) in parts if num]
    return [middle for middle, _ in points], [rate for _, rate in points]


def _figure(height: float) -> tuple["Figure", Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, height), layout="constrained")
    return figure, figure.subplots()
