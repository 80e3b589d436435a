"""Measures the zoo and writes a page: its right answers (`make results`), what fewer steps cost (`make prices`)."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import torch
import transformers

import tie_core
from tie_core.engine.engine import Engine
from tie_core.ensemble import Ensemble
from tie_core.evaluation import fewer_steps
from tie_core.evaluation.archive import Archive
from tie_core.evaluation.measuring import MAX_RUNNING, Measurement, measure
from tie_core.evaluation.page import Circumstances, render
from tie_core.evaluation.settings import SETTINGS, Setting, choose_settings
from tie_core.member import load_member
from tie_core.zoo import DEFAULTS, MEMBERS, member_path
from tie_core.zoo.task import TEST_SEED, VALIDATION_SEED, Item, make_items

SEEDS: Final = {"test": TEST_SEED, "validation": VALIDATION_SEED}
SECONDS_BETWEEN_REPORTS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """A page and what it is made of: the settings, the ones it needs whatever is asked for, whose items it may take.

    It is written to `path` if measured on the first of `splits`.
    """

    path: Path
    settings: Sequence[Setting]
    always: Sequence[str]
    splits: Sequence[str]
    num_items: int
    render: Callable[[Circumstances, Sequence[Setting], Mapping[str, Measurement]], str]


PAGES: Final = {
    "results": Page(Path("docs/results.md"), SETTINGS, ("post",), ("test", "validation"), 1000, render),
    "fewer-steps": Page(
        Path("docs/fewer-steps.md"), fewer_steps.SETTINGS, (), ("validation",), 400, fewer_steps.render
    ),
}


@dataclass(slots=True)
class Reports:
    """Tells on stderr how far a setting is, now and then."""

    last: float = 0.0

    def __call__(self, setting: str, num_answered: int, num_items: int) -> None:
        now = time.monotonic()
        if num_answered == num_items or now - self.last >= SECONDS_BETWEEN_REPORTS:
            self.last = now
            sys.stderr.write(f"{datetime.now():%H:%M:%S}  {setting:18} {num_answered:5} of {num_items}\n")


def main(words: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(words)
    page: Page = PAGES[asked.page]
    split = asked.seed_split or page.splits[0]
    if split not in page.splits:
        sys.exit(f"the page {asked.page} takes {' or '.join(page.splits)} items: constants are chosen by it")
    try:
        settings = choose_settings([name for name in asked.settings.split(",") if name], page.settings, page.always)
        told = _circumstances(split, asked.items or page.num_items)
        archive = Archive(asked.save, {"seed": told.seed, "items": told.num_items, "weights": dict(told.weights)})
        measurements = archive.load()
    except ValueError as error:
        sys.exit(str(error))
    missing = [setting for setting in settings if setting.name not in measurements]
    measurements |= measure_all(missing, make_items(told.seed, told.num_items), archive)
    path = asked.out or (page.path if split == page.splits[0] else None)
    _write(path, page.render(told, settings, measurements))


def measure_all(settings: Sequence[Setting], items: Sequence[Item], archive: Archive) -> Mapping[str, Measurement]:
    """One setting after the other, on members that are loaded once."""
    ensemble = Ensemble("zoo", [load_member(name, member_path(name)) for name in MEMBERS], DEFAULTS)
    engine = Engine(ensemble.members, max_running=MAX_RUNNING)
    reports, measurements = Reports(), {}
    engine.start()
    try:
        for setting in settings:
            measurements[setting.name] = measure(engine, ensemble, setting, items, reports)
            archive.add(measurements[setting.name])
    finally:
        engine.close()
    return measurements


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tie_core.evaluation.zoo_results", description=__doc__)
    parser.add_argument("--page", choices=PAGES, default="results", help="which page (default results)")
    sizes = ", ".join(f"{page.num_items} for {name}" for name, page in PAGES.items())
    parser.add_argument("--items", type=_number_of_items, help=f"worksheets in every row (default {sizes})")
    parser.add_argument("--seed-split", choices=SEEDS, help="whose items (default: what the page is meant for)")
    names = "; ".join(f"{name}: {', '.join(each.name for each in page.settings)}" for name, page in PAGES.items())
    parser.add_argument("--settings", default="", help=f"comma-separated, and their baselines (default all). {names}")
    parser.add_argument("--out", type=Path, help="the file (default in docs/, of other items standard output)")
    parser.add_argument("--save", type=Path, help="keep measurements in this file; what it holds is not run again")
    return parser


def _number_of_items(word: str) -> int:
    number = int(word)
    if number < 2:
        raise argparse.ArgumentTypeError("an interval needs two items at least")
    return number


def _circumstances(split: str, num_items: int) -> Circumstances:
    return Circumstances(
        date=datetime.now(UTC).date().isoformat(),
        split=split,
        seed=SEEDS[split],
        num_items=num_items,
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        versions={
            "tie-server": tie_core.__version__,
            "Python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        weights={name: weights_digest(member_path(name)) for name in MEMBERS},
    )


def weights_digest(checkpoint: Path) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the weights."""
    return sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()[:12]


def _write(path: Path | None, page: str) -> None:
    if path is None:
        sys.stdout.write(page)
    else:
        path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
