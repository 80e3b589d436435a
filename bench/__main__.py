"""Times the server against the raw loop and writes what came out: JSON, plots, and a part of docs/performance.md.

Every ratio is of two sides that take turns in one run. A benchmark's figures replace its older ones as soon as it ends.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.archive import Measured, circumstances, load_archive, measured_now, save_archive
from bench.checkpoints import ROOT, Checkpoints
from bench.page import page_with
from bench.plots import write_plots
from bench.scale import FULL, QUICK
from bench.server import NotReadyError
from bench.suite import BENCHMARKS, Bench
from tie_core.errors import TieError
from tie_core.models.dtypes import EMULATED_SLOWDOWN, bfloat16_slowdown

DOCS = ROOT / "docs"
PAGE = "performance.md"
FOLDER = "performance"
ARCHIVE = "measurements.json"


def main(words: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(words)
    if asked.quick and asked.out is None:
        sys.exit("--quick measures nothing worth keeping: name a folder for it with --out")
    out = asked.out or DOCS
    names = [name for name in asked.only.split(",") if name] or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"there is no benchmark {', '.join(unknown)}: there is {', '.join(BENCHMARKS)}")
    archive = out / FOLDER / ARCHIVE
    measured = load_archive(archive)
    if asked.resume:
        names = [name for name in names if name not in measured]
    torch.set_num_threads(1)  # the raw loop's; the server is a process of its own
    dtype = asked.dtype or _dtype_of_this_machine()
    for name in [] if asked.page_only else names:
        try:
            measured[name] = _run(name, asked, dtype)
        except (NotReadyError, TieError) as error:
            sys.exit(f"{name}: {error}")
        measured = {known: measured[known] for known in BENCHMARKS if known in measured}
        save_archive(archive, measured)
        _write(out, load_archive(archive))  # rounded, as the page is held to it
    if asked.page_only:
        _write(out, measured)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help=f"comma-separated, of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="tiny models and few requests, to see that it all runs")
    parser.add_argument("--resume", action="store_true", help="leave out what the archive already has")
    parser.add_argument("--page-only", action="store_true", help="write page and plots from the archive again")
    parser.add_argument("--repeats", type=int, help="passes of each side (default 3)")
    parser.add_argument(
        "--dtype",
        choices=("bfloat16", "float32"),
        help="of the random checkpoints (default: bfloat16 where the CPU has products for it)",
    )
    parser.add_argument("--threads", type=int, help="threads of the server (default: its own choice)")
    parser.add_argument("--out", type=Path, help="folder of page, plots and archive (default docs)")
    return parser


def _dtype_of_this_machine() -> str:
    return "bfloat16" if bfloat16_slowdown() < EMULATED_SLOWDOWN else "float32"


def _run(name: str, asked: argparse.Namespace, dtype: str) -> Measured:
    with tempfile.TemporaryDirectory(prefix="tie-bench-") as made:
        folder = Path(made)
        checkpoints = Checkpoints(folder, asked.quick)
        scale = QUICK if asked.quick else FULL
        bench = Bench(scale, checkpoints, folder, dtype, asked.threads, asked.repeats)
        told = circumstances(
            is_quick=asked.quick, are_shared=checkpoints.are_shared, dtype=dtype, threads=asked.threads
        )
        bench.report(f"{name}: {' '.join((BENCHMARKS[name].__doc__ or '').split())}")
        started = time.monotonic()
        samples = BENCHMARKS[name](bench)
        return measured_now(name, time.monotonic() - started, told, samples)


def _write(out: Path, measured: dict[str, Measured]) -> None:
    plots = write_plots(measured, out / FOLDER)
    page = out / PAGE
    template = (page if page.exists() else DOCS / PAGE).read_text(encoding="utf-8")
    page.write_text(page_with(template, measured, [plot.relative_to(out) for plot in plots]), encoding="utf-8")


if __name__ == "__main__":
    main()
