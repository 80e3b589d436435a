"""Times the embedded zoo through the engine that serves: requests one after the other, then eight at once.

Prints requests a second, CPU time for each generated token, forwards a request, and how many answers were
right. A generated token is a committed position of the answer that is given back, whatever the members spent.
"""

import argparse
import os
import platform
import queue
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from service.loading import Loaded, load
from service.settings import Settings
from tie_core.engine.observer import Observer
from tie_core.events import Completed, Event, Failed
from tie_core.zoo.task import Item, grade, make_items

SEED = 20_260_616
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Timing:
    """One way of sending requests: what it took and what came out."""

    at_once: int
    seconds: float
    cpu_seconds: float
    latencies: tuple[float, ...]
    completed: tuple[Completed, ...]
    num_right: int

    def row(self) -> str:
        num_requests = len(self.completed)
        num_tokens = sum(done.usage.completion_tokens for done in self.completed)
        num_forwards = sum(nfe.decode + nfe.score for done in self.completed for nfe in done.tie.nfe.values())
        columns = (
            f"{self.at_once}",
            f"{num_requests}",
            f"{num_requests / self.seconds:.2f}",
            f"{1000 * statistics.median(self.latencies):.0f}",
            f"{1000 * self.cpu_seconds / num_tokens:.2f}",
            f"{num_forwards / num_requests:.1f}",
            f"{self.num_right}",
        )
        return "  ".join(column.rjust(len(name)) for column, name in zip(columns, COLUMNS, strict=True))


COLUMNS = ("at once", "requests", "requests/s", "median ms", "CPU ms/token", "forwards/request", "right")


def run(loaded: Loaded, items: Sequence[Item], at_once: int) -> Timing:
    """Keep `at_once` requests in the engine until all items are answered."""
    ensemble = next(iter(loaded.ensembles.values()))
    ended: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
    submitted_at: dict[int, float] = {}
    latencies: list[float] = []
    completed: list[Completed] = []
    num_right = 0

    def submit(index: int) -> None:
        def listen(event: Event) -> None:
            if isinstance(event, Completed | Failed):
                ended.put((index, event))

        submitted_at[index] = time.perf_counter()
        messages = [{"role": "user", "content": items[index].prompt}]
        loaded.engine.submit(ensemble.request(messages=messages), listen)

    started, cpu_started = time.perf_counter(), time.process_time()
    for index in range(min(at_once, len(items))):
        submit(index)
    for following in range(at_once, at_once + len(items)):
        index, event = ended.get()
        if isinstance(event, Failed):
            raise event.error
        assert isinstance(event, Completed)
        latencies.append(time.perf_counter() - submitted_at[index])
        completed.append(event)
        num_right += grade(items[index], event.answer)
        if following < len(items):
            submit(following)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Timing(at_once, seconds, cpu_seconds, tuple(latencies), tuple(completed), num_right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=64, help="requests of each row (default 64)")
    parser.add_argument("--threads", type=int, help="threads of each operation (default: torch's own)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    loaded = load(Settings(), Observer())
    try:
        items = make_items(SEED, arguments.requests)
        run(loaded, items[:2], at_once=1)  # the first forwards allocate
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
            f" torch {torch.__version__}, {torch.get_num_threads()} threads, float32, seed {SEED}"
        )
        print("  ".join(COLUMNS))
        for at_once in (1, AT_ONCE):
            print(run(loaded, items, at_once).row(), flush=True)
    finally:
        loaded.engine.close()


if __name__ == "__main__":
    main()
