"""What a worker learns of its model before the first request: threads that pay, seconds and bytes of a forward.

Runs on the worker's own thread, since a thread count is the thread's. A few forwards of growing size over canvases that
mean nothing; each goes on only while forwards are short against a tick, so that a slow model is not waited for.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch

from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.engine.budget import Budget, Costs, Load, load_of
from tie_core.engine.placement import activation_bytes
from tie_core.errors import PlacementError
from tie_core.member import Member, Query
from tie_core.tiles import TILE_ROWS

CANVAS_LENGTH: Final = 64
CANVASES: Final = (1, 2, 4, 8)
FEW_ROWS: Final = 1
"""Watched positions of a canvas here, where the language-model head is not what is timed."""
LONGEST_SHARE: Final = 16
"""A trial that takes more than this part of a tick is run once, and none larger is tried."""
NUM_RUNS: Final = 3
LONG_SHARE: Final = 8
"""Lanes are compared over several runs of trials up to so many times as long."""
LARGE_SECONDS: Final = 0.1
"""A model whose smallest forward is shorter gets one thread for each product: more would mostly wait for each other,
and where other jobs have the cores, waiting costs many times the work."""
PAYING_THREADS: Final = 1.8
"""Twice the threads inside every product must make a forward so many times as fast: lanes waste less of them."""
PAYING_LANES: Final = 0.8
"""Twice the lanes may even make a forward of several canvases a little slower: a lane that has nothing to do takes no
CPU time, and what other jobs do to the cores at a start should not decide against lanes for good."""
MOST_THREADS: Final = 16
"""As far as rows were seen to be the same bits in any batch (`tie_core/models/invariance.py`)."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a worker may take: seconds of a tick, bytes for activations on its device, a limit on the positions of one
    forward, and threads.
    """

    tick_seconds: float
    memory_bytes: int
    max_positions: int | None
    max_threads: int


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What was found, and how long finding it took. `position_bytes` is measured on CUDA and computed elsewhere.

    Each of `num_lanes` threads has `num_threads` inside its products.
    """

    num_threads: int
    num_lanes: int
    costs: Costs
    position_bytes: int
    max_positions: int
    max_kept_positions: int  # whose keys and values the memory holds beside a forward
    seconds: float

    def budget(self, tick_seconds: float) -> Budget:
        return Budget(self.costs, tick_seconds, self.max_positions)


@dataclass(frozen=True, slots=True)
class Trial:
    """A forward that was timed."""

    load: Load
    seconds: float


def warm_up(member: Member, allowance: Allowance) -> WarmUp:
    """Try the member out. Leaves its lanes open, and the thread count set that pays, for this thread and for those that
    use torch later. One canvas is always tried, whatever the memory.

    Raises PlacementError if not even the smallest forward fits the memory.
    """
    started = time.perf_counter()
    torch.set_num_threads(1)
    member.model.lanes.open(1, 1)
    laboratory = Laboratory(member, allowance.tick_seconds / LONGEST_SHARE, allowance.max_positions)
    try:
        smallest = laboratory.measure(1, CANVAS_LENGTH, FEW_ROWS)  # what it allocates and looks up is no cost later
        most_threads = min(allowance.max_threads, MOST_THREADS) if smallest.seconds > LARGE_SECONDS else 1
        num_threads = most_that_pay(most_threads, PAYING_THREADS, laboratory.with_threads)
        torch.set_num_threads(num_threads)
        with_lanes = partial(laboratory.with_lanes, num_threads)
        num_lanes = most_that_pay(allowance.max_threads // num_threads, PAYING_LANES, with_lanes)
        member.model.lanes.open(num_lanes, num_threads)
        costs = laboratory.costs()
        position_bytes = laboratory.position_bytes()
    except torch.OutOfMemoryError:
        raise PlacementError(
            f"{member.name} has no memory left for activations on {member.model.device}: use a smaller dtype, "
            "another device, or fewer models on this one"
        ) from None
    held = _positions_held(member, position_bytes, allowance.memory_bytes)
    max_positions = max(1, held if allowance.max_positions is None else min(held, allowance.max_positions))
    return WarmUp(num_threads, num_lanes, costs, position_bytes, max_positions, held, time.perf_counter() - started)


def most_that_pay(most: int, paying_speedup: float, seconds_with: Callable[[int], float]) -> int:
    """Double a number as long as that pays, up to `most`. Nothing is measured where there is no choice."""
    number = 1
    if most == 1:
        return number
    seconds = seconds_with(number)
    while (more := 2 * number) <= most:
        with_more = seconds_with(more)
        if seconds < paying_speedup * with_more:
            break
        number, seconds = more, with_more
    return number


def _positions_held(member: Member, position_bytes: int, memory_bytes: int) -> int:
    """How many positions the memory holds in one forward, and again as kept keys and values, beside the logits."""
    footprint = member.model.footprint
    of_logits = activation_bytes(footprint, 0, str(member.model.device))
    return max(0, memory_bytes - of_logits) // (position_bytes + footprint.cache_bytes)


class Laboratory:
    """Times forwards of one member. `longest` is the seconds after which no larger one is tried, `max_positions` the
    limit of the configuration, which no trial needs to exceed.
    """

    def __init__(self, member: Member, longest: float, max_positions: int | None) -> None:
        self._member = member
        self._longest = longest
        self._max_positions = max_positions
        self._largest = 1  # canvases of the largest forward that was worth trying

    def measure(self, num_canvases: int, length: int, num_rows: int) -> Trial:
        """The best of a few runs; one run where that is long."""
        queries = [_query(self._member, length, num_rows)] * num_canvases
        load = load_of(length, num_rows)
        seconds = self._time(queries)
        if seconds <= self._longest:
            seconds = min(seconds, *(self._time(queries) for _ in range(NUM_RUNS - 1)))
        return Trial(sum([load] * num_canvases, Load()), seconds)

    def _time(self, queries: Sequence[Query]) -> float:
        started = time.perf_counter()
        self._member.predict(queries)  # ends with a transfer to the host, so it has run
        return time.perf_counter() - started

    def climb(self) -> list[Trial]:
        """More and more canvases until a forward is long: two at least."""
        trials: list[Trial] = []
        for num_canvases in CANVASES:
            trials.append(self.measure(num_canvases, CANVAS_LENGTH, FEW_ROWS))
            self._largest = num_canvases
            if len(trials) > 1 and (trials[-1].seconds > self._longest or self._is_at_the_limit(trials[-1])):
                break
        return trials

    def _is_at_the_limit(self, trial: Trial) -> bool:
        return self._max_positions is not None and 2 * trial.load.num_positions > self._max_positions

    def with_threads(self, num_threads: int) -> float:
        """Seconds of the largest forward that is worth trying, with so many threads inside its products."""
        torch.set_num_threads(num_threads)
        if num_threads == 1:
            return self.climb()[-1].seconds
        self.measure(1, CANVAS_LENGTH, FEW_ROWS)  # starts the threads
        return self.measure(self._largest, CANVAS_LENGTH, FEW_ROWS).seconds

    def with_lanes(self, num_threads: int, num_lanes: int) -> float:
        """Seconds of the same forward, of two canvases a lane at least."""
        self._member.model.lanes.open(num_lanes, num_threads)
        self._largest = max(self._largest, 2 * num_lanes)
        queries = [_query(self._member, CANVAS_LENGTH, FEW_ROWS)] * self._largest
        seconds = self._time(queries)  # starts the lanes
        num_runs = NUM_RUNS if seconds <= LONG_SHARE * self._longest else 1  # one hiccup would decide for good
        return min(self._time(queries) for _ in range(num_runs))

    def costs(self) -> Costs:
        """Fitted to the two largest of the climb, long canvases, and many watched positions."""
        *_, smaller, larger = self.climb()
        lanes = self._member.model.lanes.count
        long = min(larger.load.num_positions // lanes, self._member.model.max_positions)
        many_rows = min(CANVAS_LENGTH, TILE_ROWS // self._largest)
        watched = self.measure(self._largest, CANVAS_LENGTH, many_rows)
        return fit_costs(smaller, larger, self.measure(lanes, long, FEW_ROWS), watched)

    def position_bytes(self) -> int:
        """CUDA's own count over the largest forward; elsewhere what the widths come to."""
        device = torch.device(self._member.model.device)
        if device.type != "cuda":
            return self._member.model.footprint.position_bytes
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        load = self.measure(self._largest, CANVAS_LENGTH, FEW_ROWS).load
        taken = torch.cuda.max_memory_allocated(device) - before
        return max(1, taken // load.num_positions)


def fit_costs(smaller: Trial, larger: Trial, long: Trial, watched: Trial) -> Costs:
    """Each cost from the trial that shows it best; what noise would make negative is zero.

    The two largest packings give the cost of a position, since a device may be idle in small ones. `long` holds as
    many positions in fewer canvases, `watched` is `larger` with more rows of the head.
    """
    num_positions = larger.load.num_positions
    average = larger.seconds / num_positions
    slope = (larger.seconds - smaller.seconds) / (num_positions - smaller.load.num_positions)
    position = min(slope, average) if slope > 0 else average
    fixed = larger.seconds - position * num_positions
    plain = Costs(fixed, position)
    pair = (long.seconds - plain.seconds(long.load)) / long.load.num_pairs
    row = (watched.seconds - larger.seconds) / (watched.load.num_rows - larger.load.num_rows)
    return Costs(fixed, position, max(0.0, pair), max(0.0, row))


def _query(member: Member, length: int, num_rows: int) -> Query:
    """A canvas that is masked at its last `num_rows` positions."""
    vocabulary = member.vocabulary
    layout = Layout(num_rows, 0, 0, num_rows, vocabulary.mask_id)
    canvas: Canvas = blank_canvas((vocabulary.eos_id,) * (length - num_rows), (), layout)
    return Query(canvas, canvas.watched, "off")
