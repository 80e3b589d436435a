"""Plots of what was measured, as SVG: one file for each benchmark that has a curve."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib

from bench.archive import Measured
from bench.ratios import cpu, middle
from bench.suite import Samples

SIZE: Final = (6.4, 3.6)  # inches


def write_plots(measured: Mapping[str, Measured], folder: Path) -> list[Path]:
    """The files written, by name of the benchmark."""
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "tie"  # the same figures give the same file
    from matplotlib import pyplot

    written = []
    for name, draw in PLOTS.items():
        if name in measured:
            shown, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
            draw(axes, dict(measured[name].samples))
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            written.append(folder / f"{name}.svg")
            shown.savefig(written[-1], metadata={"Date": None})
            pyplot.close(shown)
    return written


def _concurrency(axes: Any, samples: Samples) -> None:
    for kind, words in (
        ("served", "server"),
        ("raw block", "raw loop, block logits"),
        ("raw canvas", "raw loop, all logits"),
    ):
        sides = [side for side in samples if side.rpartition(" ")[0] == kind]
        levels = [int(side.rpartition(" ")[2]) for side in sides]
        axes.plot(levels, [middle(samples[side], cpu) for side in sides], "o-", label=words)
    axes.set_xscale("log", base=2)
    _label(axes, "requests at once", "CPU ms a token")
    axes.legend()


def _by_number(words: str) -> Callable[[Any, Samples], None]:
    def draw(axes: Any, samples: Samples) -> None:
        axes.plot([int(number) for number in samples], [middle(passes, cpu) for passes in samples.values()], "o-")
        _label(axes, words, "CPU ms a token")

    return draw


def _label(axes: Any, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)


PLOTS: Final[Mapping[str, Callable[[Any, Samples], None]]] = {
    "concurrency": _concurrency,
    "length": _by_number("generated positions"),
    "members": _by_number("members"),
}
