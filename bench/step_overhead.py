"""What a step costs beside its forward: the plain path, row by row, against a batch's arrays.

`python -m bench.step_overhead`. Both denoise the same zoo worksheets and take turns, step by step, in one process with
one thread. CPU time; the forward, from packed ids to statistics on the host, is told apart.
"""

import argparse
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from tie_core.denoising import Denoising
from tie_core.engine.backlog import Row
from tie_core.engine.batch import Batch
from tie_core.engine.budget import Load
from tie_core.engine.row_state import state_of
from tie_core.ensemble import Ensemble
from tie_core.member import Member, Pack, load_member
from tie_core.prediction import Columns, Prediction
from tie_core.request import Request
from tie_core.tie import Decode
from tie_core.zoo import DEFAULTS, MEMBERS, member_path
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

NUM_ROWS: Final = (1, 8, 64)


@dataclass
class Spent:
    """CPU seconds: of steps, of the forwards in them, and of joining and leaving batches."""

    steps: float = 0.0
    forwards: float = 0.0
    passage: float = 0.0
    num_steps: int = 0

    @property
    def beside(self) -> float:
        """Microseconds of a step that are not its forward's."""
        return 1e6 * (self.steps - self.forwards) / self.num_steps


class Timed(Member):
    """A member whose forwards are added to `spent`."""

    spent: Spent

    def timing(self, spent: Spent) -> None:
        object.__setattr__(self, "spent", spent)

    def read(self, pack: Pack) -> Columns:
        started = time.process_time()
        columns = super().read(pack)
        self.spent.forwards += time.process_time() - started
        return columns


def jobs_of(requests: Sequence[Request]) -> list[Denoising]:
    """Each request's first round, as one that goes on to the end."""
    jobs = []
    for request in requests:
        (work, *_) = request.program().send(None)
        assert isinstance(work, Decode)
        jobs.append(Denoising(Decode(0, work.canvas, work.history, None), request.options))
    return jobs


def plain_step(member: Timed, jobs: Sequence[Denoising]) -> None:
    for job, prediction in zip(jobs, member.predict([job.query for job in jobs]), strict=True):
        assert isinstance(prediction, Prediction)
        job.accept(prediction)


def batched_step(member: Timed, batch: Batch) -> bool:
    """Whether the rows are finished; all are in the same step."""
    batch.step(member.read(batch.pack(0, len(batch.rows))))
    assert batch.load.num_positions
    return bool(batch.is_finished.any())


def compare(member: Timed, requests: Sequence[Request]) -> tuple[Spent, Spent]:
    """All steps of all requests, on both paths."""
    alone, batched = jobs_of(requests), jobs_of(requests)
    plain, arrays = Spent(), Spent()

    started = time.process_time()
    batch = Batch([Row("", 0, 0, job, False, Load(), state_of(job)) for job in batched], member)
    arrays.passage += time.process_time() - started
    is_finished = False
    while not is_finished:
        for spent in (plain, arrays) if plain.num_steps % 2 else (arrays, plain):
            member.timing(spent)
            started = time.process_time()
            if spent is plain:
                plain_step(member, alone)
            else:
                is_finished = batched_step(member, batch)
            spent.steps += time.process_time() - started
            spent.num_steps += 1
    started = time.process_time()
    for number in range(len(batch.rows)):
        batch.catch_up(number)
    arrays.passage += time.process_time() - started
    assert [job.result for job in alone] == [job.result for job in batched]
    return plain, arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of each size, of which the best counts (default 3)"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    name = MEMBERS[0]
    loaded = load_member(name, member_path(name))
    member = Timed(loaded.name, loaded.model, loaded.vocabulary)
    ensemble = Ensemble("zoo", [loaded], DEFAULTS)
    prompts = [item.prompt for item in make_items(VALIDATION_SEED, max(NUM_ROWS))]
    requests = [ensemble.request(messages=[{"role": "user", "content": prompt}]) for prompt in prompts]
    print(f"{name}, {platform.machine()}, torch {torch.__version__}, one thread, float32; CPU time of a step")
    compare(member, requests[:1])  # what the first one looks up and allocates is no cost
    print("rows  forward ms  plain us  batch us  of a forward: plain, batch  joining and leaving us/row")
    for num_rows in NUM_ROWS:
        runs = [compare(member, requests[:num_rows]) for _ in range(asked.repeats)]
        plain = min((run[0] for run in runs), key=lambda spent: spent.beside)
        arrays = min((run[1] for run in runs), key=lambda spent: spent.beside)
        passage = min(run[1].passage for run in runs)
        forward = min(spent.forwards / spent.num_steps for run in runs for spent in run)
        print(
            f"{num_rows:4}  {1e3 * forward:10.2f}  {plain.beside:8.0f}  {arrays.beside:8.0f}"
            f"  {plain.beside / forward / 1e4:18.2f} %, {arrays.beside / forward / 1e4:.2f} %"
            f"  {1e6 * passage / num_rows:26.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
