"""Before the first request a worker knows its model's costs, and how many threads pay."""

from collections.abc import Callable

import pytest
import torch

from tests.engine.cramped import cramped
from tests.members import tiny, zoo
from tests.running import running_engine
from tie_core.engine.budget import Costs, Load, load_of
from tie_core.engine.observer import Observer
from tie_core.engine.placement import activation_bytes
from tie_core.engine.warm_up import Allowance, Trial, WarmUp, fit_costs, most_that_pay, warm_up

TRUE = Costs(fixed=0.004, position=50e-6, pair=20e-9, row=30e-6)


def trial(num_canvases: int, length: int, num_rows: int, costs: Costs = TRUE, noise: float = 0.0) -> Trial:
    load = sum([load_of(length, num_rows)] * num_canvases, Load())
    return Trial(load, costs.seconds(load) + noise)


def test_the_costs_of_a_forward_are_found() -> None:
    found = fit_costs(trial(4, 64, 1), trial(8, 64, 1), trial(1, 512, 1), trial(8, 64, 32))

    for load in (load_of(100, 10), load_of(2_000, 100), load_of(64, 1)):
        assert found.seconds(load) == pytest.approx(TRUE.seconds(load), rel=0.1)


def test_a_device_that_is_idle_in_small_forwards_is_judged_by_large_ones() -> None:
    """A GPU: 20 ms up to 256 positions, then in proportion."""

    def gpu(num_canvases: int) -> Trial:
        load = Load(64 * num_canvases, 0, num_canvases)
        return Trial(load, 0.020 * max(1.0, load.num_positions / 256))

    found = fit_costs(gpu(4), gpu(8), Trial(Load(512, 512 * 512, 1), 0.040), Trial(Load(512, 0, 256), 0.040))

    assert found.seconds(Load(4_096, 0, 0)) == pytest.approx(0.020 * 16, rel=0.01)


@pytest.mark.parametrize("noise", [-0.004, 0.0, 0.004, 0.02])
def test_no_cost_is_ever_negative(noise: float) -> None:
    for noisy in range(4):
        noises = [noise if index == noisy else 0.0 for index in range(4)]
        found = fit_costs(
            trial(4, 64, 1, noise=noises[0]),
            trial(8, 64, 1, noise=noises[1]),
            trial(1, 512, 1, noise=noises[2]),
            trial(8, 64, 32, noise=noises[3]),
        )
        assert min(found.fixed, found.pair, found.row) >= 0
        assert found.position > 0


@pytest.mark.parametrize(
    ("seconds", "most", "chosen"),
    [
        ({1: 1.0, 2: 0.55, 4: 0.3, 8: 0.25}, 8, 4),
        ({1: 1.0, 2: 0.9}, 2, 1),
        ({1: 1.0, 2: 3.0}, 2, 1),
        ({1: 1.0, 2: 0.5}, 3, 2),
        ({}, 1, 1),
    ],
)
def test_a_number_is_doubled_as_long_as_that_pays(seconds: dict[int, float], most: int, chosen: int) -> None:
    assert most_that_pay(most, 1.3, seconds.__getitem__) == chosen


def test_more_threads_are_tried_where_there_are_more() -> None:
    before = torch.get_num_threads()
    try:
        member = tiny("llada-tiny")
        warmed = warm_up(member, Allowance(0.5, 10**9, None, max_threads=2))
        assert warmed.num_threads == torch.get_num_threads()
        assert warmed.num_lanes == member.model.lanes.count
        assert warmed.num_threads * warmed.num_lanes in (1, 2)
    finally:
        member.model.lanes.open(1, 1)
        torch.set_num_threads(before)


def test_the_memory_bounds_the_positions_of_a_forward() -> None:
    footprint = tiny("llada-tiny").model.footprint
    memory = activation_bytes(footprint, 1_000, "cpu") + 1_000 * footprint.cache_bytes

    warmed = warm_up(tiny("llada-tiny"), Allowance(0.5, memory, None, 1))

    assert warmed.position_bytes == footprint.position_bytes
    assert warmed.max_positions == 1_000


@pytest.mark.parametrize(("memory", "limit", "most"), [(10**9, 300, 300), (0, 300, 1), (0, None, 1)])
def test_a_limit_bounds_them_further_but_one_canvas_is_always_tried(memory: int, limit: int | None, most: int) -> None:
    assert warm_up(tiny("llada-tiny"), Allowance(0.5, memory, limit, 1)).max_positions == most


def test_a_slow_model_is_not_waited_for() -> None:
    member = cramped("llada-tiny", 10_000)

    warm_up(member, Allowance(tick_seconds=1e-9, memory_bytes=10**9, max_positions=None, max_threads=1))

    assert max(map(sum, member.memory.forwards)) == 128
    assert len(member.memory.forwards) == 5  # the first, two sizes, a long canvas, many watched positions


def test_every_member_is_warm_when_the_engine_has_started(figure: Callable[[str], None]) -> None:
    class Told(Observer):
        def __init__(self) -> None:
            self.warmed: dict[str, WarmUp] = {}

        def on_warm_up(self, member: str, warmed: WarmUp) -> None:
            self.warmed[member] = warmed

    told = Told()
    with running_engine(zoo(), told):
        assert set(told.warmed) == {member.name for member in zoo()}

    for name, warmed in told.warmed.items():
        costs = warmed.costs
        figure(
            f"warm-up: {name}: {1e3 * costs.fixed:.1f} ms + {1e6 * costs.position:.0f} us a position"
            f" + {1e6 * costs.row:.1f} us a watched one; {warmed.max_positions:,} positions fit;"
            f" took {warmed.seconds:.2f} s"
        )
        assert warmed.num_threads == 1  # as many as the tests have
        assert warmed.costs.position > 0
