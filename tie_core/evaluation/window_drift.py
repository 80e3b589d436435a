"""What `cache: window` changes in what a member sees: the exact run, with every forward read again through a window.

`python -m tie_core.evaluation.window_drift`. The exact predictions decide everything; the windowed ones are laid beside
them, step by step on the same canvases, so what is measured is the approximation and not its consequences.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import torch

from tie_core.denoising import Denoising, WindowCache, make_job
from tie_core.ensemble import Ensemble
from tie_core.errors import MemberError
from tie_core.evaluation.leaders import led
from tie_core.evaluation.tables import figure, in_percent, table
from tie_core.member import Member, Query, load_member
from tie_core.prediction import Prediction
from tie_core.request import Request
from tie_core.scoring import History, Score, history_value
from tie_core.selection import Leader, choose_leader
from tie_core.tie import Decode, Probe, Round
from tie_core.trajectory import Trajectory
from tie_core.zoo import DEFAULTS, INTERVAL, MEMBERS, member_path
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "window-cache.md"
INTERVALS: Final = (2, 4, 8, 16)


@dataclass(slots=True)
class Drift:
    """Windowed against exact, over all requests. A reading is one watched position of one windowed forward."""

    num_same_token: int = 0
    top1: list[float] = field(default_factory=list)  # absolute differences of probabilities, a reading each
    tcc: list[float] = field(default_factory=list)  # absolute differences, a member's round each
    num_same_leader: int = 0
    num_rounds: int = 0
    num_positions: int = 0
    num_exact_positions: int = 0

    def add_reading(self, exact: Prediction, windowed: Prediction) -> None:
        self.num_same_token += sum(a == b for a, b in zip(exact.tokens, windowed.tokens, strict=True))
        self.top1 += [abs(a - b) for a, b in zip(exact.top1, windowed.top1, strict=True)]

    def row(self, refresh_interval: int) -> tuple[str, ...]:
        ordered = sorted(self.top1)
        return (
            f"{refresh_interval}",
            figure(self.num_positions / self.num_exact_positions, 3),
            f"{len(ordered):,}",
            in_percent(self.num_same_token / len(ordered)),
            figure(fmean(ordered), 5),
            figure(ordered[int(0.99 * len(ordered))], 4),
            figure(fmean(self.tcc), 4),
            in_percent(self.num_same_leader / self.num_rounds),
        )


HEADER: Final = (
    "whole every",
    "positions",
    "readings",
    "same argmax",
    "top-1, mean change",
    "99th percentile",
    "TCC, mean change",
    "same leader",
)


class Shadow:
    """One request run exactly, and seen through windows."""

    def __init__(self, request: Request, refresh_interval: int, drift: Drift) -> None:
        self._request = led(request, self._choose)
        self._refresh_interval = refresh_interval
        self._drift = drift
        self._histories: dict[int, History] = {}  # by member: what the windows said in this round

    def run(self) -> None:
        program, reply = self._request.program(), None
        while True:
            try:
                work = program.send(reply)
            except StopIteration:
                return
            reply = None if isinstance(work, Round) else tuple(self._do(item) for item in work)

    def _do(self, work: Decode | Probe) -> Trajectory | Prediction:
        job = make_job(work, self._request.options)
        if isinstance(job, Denoising):
            return self._denoise(job)
        job.accept(_read(self._request.members[work.member], job.query))
        return job.result

    def _denoise(self, job: Denoising) -> Trajectory:
        member, cache = self._request.members[job.work.member], WindowCache(self._refresh_interval)
        history = job.work.history
        if (first := job.begin()) is not None:
            history = history.after(first.prediction)
        while not job.is_finished:
            query = cache.query(job.canvas, self._request.options.suppress_end)
            exact, windowed = _read(member, job.query), _read(member, query)
            self._drift.num_positions += member.num_positions(query)
            self._drift.num_exact_positions += query.length
            if query.fresh is not None:
                self._drift.add_reading(exact, windowed)
            history = history.after(windowed)
            cache.after_forward(job.canvas)
            job.accept(exact)
        self._histories[job.work.member] = history
        return job.result

    def _choose(self, scores: Sequence[Score | None], can_lead: Sequence[bool], last_leader: int | None) -> Leader:
        """The exact leader; on the way, whether the windows would have chosen the same one."""
        exact = choose_leader(scores, can_lead, last_leader)
        exact_scores = [score for score in scores if score is not None]  # all: nobody is lost here
        histories = [self._histories[member] for member in range(len(scores))]
        seen = [
            Score(history_value(history), float(history.changes.value), history.top1, score.commit_confidence)
            for history, score in zip(histories, exact_scores, strict=True)
        ]
        self._drift.num_rounds += 1
        self._drift.num_same_leader += choose_leader(seen, can_lead, last_leader).member == exact.member
        self._drift.tcc += [abs(one.tcc - other.tcc) for one, other in zip(exact_scores, seen, strict=True)]
        return exact


def _read(member: Member, query: Query) -> Prediction:
    (prediction,) = member.predict([query])
    if isinstance(prediction, MemberError):
        raise prediction
    return prediction


def measure_drift(requests: Iterable[Request], refresh_interval: int) -> Drift:
    """All requests, scored by tcc, one after the other."""
    drift = Drift()
    for request in requests:
        Shadow(request, refresh_interval, drift).run()
    return drift


def page(rows: Iterable[Sequence[str]], num_items: int, options: Any) -> str:
    return f"""# What a window changes

Made by `python -m tie_core.evaluation.window_drift --items {num_items}` and not edited by hand: the zoo's members on
{num_items} worksheets of the validation seed ({VALIDATION_SEED}), {options}, float32, torch {torch.__version__}.

Every step is read twice: whole, which decides what happens, and under `cache: window`, which is only compared. `whole
every` is the refresh interval (a relay refreshes too), `positions` those read through windows against the exact ones,
and a reading is one watched position of a windowed step. `same leader` is over rounds, chosen by the token change
count.

{table(HEADER, rows)}
What it does to right answers and forwards is in [fewer steps](fewer-steps.md); what it saves in time, in
[performance](performance.md).
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100, help="worksheets of the validation seed (default 100)")
    parser.add_argument("--interval", type=int, default=INTERVAL, help=f"n, steps in a round (default {INTERVAL})")
    parser.add_argument("--out", type=Path, default=PAGE, help=f"the page (default {PAGE.name})")
    asked = parser.parse_args(arguments)
    members = [load_member(name, member_path(name)) for name in MEMBERS]
    ensemble = Ensemble("zoo", members, {**DEFAULTS, "interval": asked.interval})
    questions = [[{"role": "user", "content": item.prompt}] for item in make_items(VALIDATION_SEED, asked.items)]
    rows = []
    for refresh_interval in INTERVALS:
        requests = (ensemble.request(messages=question) for question in questions)
        rows.append(measure_drift(requests, refresh_interval).row(refresh_interval))
        sys.stdout.write(f"whole every {refresh_interval}: same leader in {rows[-1][-1]} of the rounds\n")
    asked.out.write_text(page(rows, asked.items, f"n = {asked.interval}"), encoding="utf-8")


if __name__ == "__main__":
    main()
