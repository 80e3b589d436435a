"""The generated part of `docs/performance.md`: from the samples and the cost model, nothing typed in by hand."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from bench.archive import Measured
from bench.computed import computed_section
from bench.modes import EXACT
from bench.passes import Sample
from bench.ratios import cpu, ensemble_ratio, forwards_per_request, middle, positions, ratio, speed
from bench.suite import Samples
from bench.targets import verdicts
from service.bench.figures import percentile
from service.bench.workload import spread
from tie_core.evaluation.intervals import wilson
from tie_core.evaluation.tables import figure, percent_with_interval, table

MARK: Final = "<!-- What follows is written by `make bench`. -->\n"
MET: Final = {True: "yes", False: "no", None: "–"}


def page_with(page: str, measured: Mapping[str, Measured], plots: Sequence[Path] = ()) -> str:
    """The page with everything behind its mark replaced. `plots` are paths from the page's folder."""
    head, _, _ = page.partition(MARK)
    return "\n".join((f"{head}{MARK}", *_sections(measured, plots)))


def _sections(measured: Mapping[str, Measured], plots: Sequence[Path]) -> Iterator[str]:
    yield _targets(measured)
    if measured:
        yield _circumstances(measured)
    for name, tell in SECTIONS.items():
        if name in measured:
            yield tell(dict(measured[name].samples))
            yield from (f"![{plot.stem}]({plot.as_posix()})\n" for plot in plots if plot.stem == name)
    yield computed_section()


def _targets(measured: Mapping[str, Measured]) -> str:
    rows = [(verdict.target, verdict.measured, MET[verdict.is_met]) for verdict in verdicts(measured)]
    return f"## Targets\n\n{table(('target', 'measured', 'met'), rows)}"


def _circumstances(measured: Mapping[str, Measured]) -> str:
    """Every set of circumstances with the benchmarks that were run in it."""
    names: dict[str, list[str]] = {}
    for name, entry in measured.items():
        told = ", ".join(f"{key} {value}" for key, value in entry.circumstances.items() if key != "load before")
        names.setdefault(f"{entry.date}: {told}", []).append(name)
    lines = [f"- {', '.join(of)}: {told}.\n" for told, of in names.items()]
    loads = sorted(float(entry.circumstances["load before"]) for entry in measured.values())
    lines.append(f"- Load of the machine before each benchmark: {loads[0]:.1f} to {loads[-1]:.1f}.\n")
    is_quick = any(entry.circumstances["scale"] == "quick" for entry in measured.values())
    warning = "Quick scale: this shows that everything runs, and measures nothing.\n\n" if is_quick else ""
    return f"## Circumstances\n\n{warning}{''.join(lines)}"


def _prompts(samples: Iterable[Sample]) -> str:
    lengths = [length for sample in samples for length in sample.prompt_tokens]
    return f"Prompts: {spread(lengths)}.\n"


def _levels(samples: Samples) -> list[int]:
    return [int(side.split()[1]) for side in samples if side.startswith("served ")]


def _concurrency(samples: Samples) -> str:
    rows = []
    for level in _levels(samples):
        served, raw = samples[f"served {level}"], samples[f"raw block {level}"]
        canvas = samples.get(f"raw canvas {level}")
        latencies = sorted(latency for sample in served for latency in sample.latencies)
        rows.append(
            (
                str(level),
                figure(middle(served, cpu)),
                figure(middle(raw, cpu)),
                figure(middle(canvas, cpu) if canvas else None),
                ratio(samples, f"served {level}", f"raw block {level}").words,
                ratio(samples, f"served {level}", f"raw block {level}", speed).words,
                figure(median(sample.mean_batch_rows or 0.0 for sample in served)),
                f"{percentile(latencies, 0.5):.2f} / {latencies[-1]:.2f}",
            )
        )
    header = (
        "at once",
        "server, CPU ms a token",
        "raw loop, block logits",
        "raw loop, all logits",
        "CPU ratio",
        "throughput ratio",
        "rows a forward",
        "latency, s: p50 / max",
    )
    told = "".join(f"At {level} at once: {_prompts(samples[f'served {level}'])[9:]}" for level in _levels(samples))
    return f"## Requests at once\n\n{table(header, rows)}\nPrompts. {told}"


def _vocabulary(samples: Samples) -> str:
    rows = [(side, figure(middle(passes, cpu))) for side, passes in samples.items()]
    grown = max(sample.facts["grown_bytes"] for sample in samples["served"])
    return (
        f"## The published vocabulary\n\n{table(('8 at once', 'CPU ms a token'), rows)}\n"
        f"Resident memory grew by {grown / 1e6:.0f} MB over idle at most. {_prompts(samples['served'])}"
    )


def _arrivals(samples: Samples) -> str:
    (sample,) = samples["served"]
    rows = [("rows a forward, all in all", figure(sample.mean_batch_rows))]
    rows.append(("rows a forward, while all run", figure(sample.facts.get("rows_together"))))
    return f"## Eight arrivals, 0.25 s apart\n\n{table(('', 'measured'), rows)}"


def _crowd(samples: Samples) -> str:
    (sample,) = samples["served"]
    ascending = sorted(sample.latencies)
    rows = [(f"latency, {name}, s", f"{percentile(ascending, share):.2f}") for name, share in LATENCIES.items()]
    rows += [
        (f"`/livez`, {name}, ms", f"{1000 * sample.facts[f'livez_{name}']:.1f}") for name in ("p50", "p99", "p100")
    ]
    return (
        f"## {len(ascending)} requests at once\n\n{table(('', 'measured'), rows)}\n"
        f"`/livez` was asked {sample.facts['livez_probes']:.0f} times. {_prompts([sample])}"
    )


def _ensemble(samples: Samples) -> str:
    rows = [
        (side, figure(middle(passes, cpu)), figure(middle(passes, forwards_per_request)))
        for side, passes in samples.items()
    ]
    told = "".join(
        f"Over the members' own runs of as many steps, with {other}: {ensemble_ratio(samples, other).words}.\n"
        for other in ("twin", "dream")
    )
    return f"## Two members\n\n{table(('run', 'CPU ms a token', 'forwards a request'), rows)}\n{told}"


def _scores(samples: Samples) -> str:
    rows = [
        (
            score,
            figure(middle(passes, cpu)),
            figure(middle(passes, forwards_per_request)),
            figure(middle(passes, lambda sample: sample.rounds / len(sample.latencies))),
        )
        for score, passes in samples.items()
    ]
    header = ("score", "CPU ms a token", "forwards a request", "rounds a request")
    return f"## Cross-model scores\n\n{table(header, rows)}"


def _by_number(title: str, what: str) -> Callable[[Samples], str]:
    def tell(samples: Samples) -> str:
        rows = [
            (
                number,
                figure(middle(passes, cpu)),
                figure(middle(passes, positions)),
                figure(1000 * middle(passes, cpu) / middle(passes, positions), 2),
                figure(middle(passes, speed)),
            )
            for number, passes in samples.items()
        ]
        header = (what, "CPU ms a token", "positions a token", "CPU µs a position", "tokens/s")
        return (
            f"## {title}\n\n{table(header, rows)}\n{_prompts(each for passes in samples.values() for each in passes)}"
        )

    return tell


def _cache(samples: Samples) -> str:
    rows = [
        (
            mode,
            figure(middle(passes, cpu)),
            ratio(samples, mode, EXACT.name).words,
            ratio(samples, mode, EXACT.name, positions).words,
        )
        for mode, passes in samples.items()
    ]
    header = ("mode", "CPU ms a token", "CPU, x exact", "positions, x exact")
    return f"## Modes on random weights\n\n{table(header, rows)}\n{_prompts(samples[EXACT.name])}"


def _embedded(samples: Samples) -> str:
    (exact,) = samples[EXACT.name]
    rows = []
    for name, (sample,) in samples.items():
        num, right = len(sample.latencies), int(sample.facts["right"])
        rows.append(
            (
                name,
                str(num),
                percent_with_interval(right / num, wilson(right, num)),
                figure(forwards_per_request(sample)),
                f"{forwards_per_request(sample) / forwards_per_request(exact):.2f}",
                figure(cpu(sample), 2),
                figure(num / sample.seconds),
            )
        )
    header = ("mode", "requests", "right, %", "forwards a request", "x exact", "CPU ms a token", "requests/s")
    return f"## Modes on the embedded members\n\n{table(header, rows)}"


LATENCIES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
SECTIONS: Final[Mapping[str, Callable[[Samples], str]]] = {
    "concurrency": _concurrency,
    "growth": _by_number("More and more requests at once, the same ones", "at once"),
    "vocabulary": _vocabulary,
    "arrivals": _arrivals,
    "crowd": _crowd,
    "ensemble": _ensemble,
    "scores": _scores,
    "length": _by_number("Generated length", "generated positions"),
    "members": _by_number("Number of members", "members"),
    "cache": _cache,
    "embedded": _embedded,
}
