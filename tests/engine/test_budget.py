"""A budget bounds a forward by its time and its memory, shrinks when memory runs out, and recovers slowly."""

import pytest

from tie_core.engine.budget import Budget, Costs, Load, load_of

COSTS = Costs(fixed=0.01, position=0.001, pair=1e-6, row=0.002)


def test_seconds_add_up() -> None:
    load = load_of(100, 10) + load_of(50, 5)

    assert load == Load(150, 12_500, 15)
    assert COSTS.seconds(load) == pytest.approx(0.01 + 0.15 + 0.0125 + 0.03)


def test_a_forward_is_bounded_by_the_time_that_it_takes() -> None:
    budget = Budget(COSTS, tick_seconds=0.1, max_positions=10_000)

    assert budget.has_room_for(load_of(80, 0))
    assert not budget.has_room_for(load_of(100, 0))
    assert not budget.has_room_for(load_of(80, 10))


def test_a_forward_is_bounded_by_the_memory() -> None:
    budget = Budget(Costs(), tick_seconds=0.1, max_positions=100)

    assert budget.has_room_for(load_of(100, 100))
    assert not budget.has_room_for(load_of(101, 0))


def test_a_model_that_is_slow_to_start_may_take_longer_than_a_tick() -> None:
    budget = Budget(Costs(fixed=1.0, position=0.001), tick_seconds=0.1, max_positions=100_000)

    assert budget.has_room_for(load_of(2_900, 0))
    assert not budget.has_room_for(load_of(3_100, 0))


def test_running_out_of_memory_halves_what_was_tried() -> None:
    budget = Budget(Costs(), 0.1, max_positions=10_000)

    budget.shrink(600)

    assert budget.max_positions == 300


def test_a_failed_half_does_not_raise_the_budget_again() -> None:
    budget = Budget(Costs(), 0.1, max_positions=10_000)

    budget.shrink(600)
    budget.shrink(5_000)

    assert budget.max_positions == 150


def test_something_may_always_be_tried() -> None:
    budget = Budget(Costs(), 0.1, max_positions=1)

    budget.shrink(1)

    assert budget.max_positions == 1


def test_the_budget_recovers_slowly_and_only_by_forwards_that_use_it() -> None:
    budget = Budget(Costs(), 0.1, max_positions=1_000)
    budget.shrink(1_000)

    for _ in range(100):
        budget.recover(100)
    assert budget.max_positions == 500

    num_forwards = 0
    while budget.max_positions < 1_000:
        budget.recover(budget.max_positions)
        num_forwards += 1
    assert 30 < num_forwards < 60
    budget.recover(1_000)
    assert budget.max_positions == 1_000
