"""Which rows a forward takes: nobody starves, the oldest round goes first, and no room is wasted."""

import random
from typing import Any

from tie_core.engine.backlog import Backlog, Row
from tie_core.engine.budget import Budget, Costs, load_of

JOB: Any = None
STATE: Any = None


def budget(max_positions: int) -> Budget:
    return Budget(Costs(), 1.0, max_positions)


def row(name: str, length: int) -> Row:
    return Row(name, 0, 0, JOB, False, load_of(length, 0), STATE)


def backlog_of(*rows: Row) -> Backlog:
    backlog = Backlog()
    for each in rows:
        backlog.put(each)
    return backlog


def names(batch: list[Row]) -> str:
    return "".join(each.request_id for each in batch)


def serve(backlog: Backlog, limit: Budget, num_batches: int) -> list[str]:
    """Rows that never end: whose forward it is, batch by batch."""
    told = []
    for _ in range(num_batches):
        batch = backlog.take(limit)
        told.append(names(batch))
        backlog.put_back(batch)
    return told


def test_all_that_fits_goes_at_once() -> None:
    assert serve(backlog_of(row("a", 10), row("b", 20), row("c", 70)), budget(100), 2) == ["abc", "abc"]


def test_a_row_that_does_not_fit_is_passed_over_and_then_goes_first() -> None:
    backlog = backlog_of(row("a", 10), row("L", 95), row("b", 10), row("c", 10))

    assert serve(backlog, budget(100), 4) == ["abc", "L", "abc", "L"]


def test_a_large_row_takes_no_more_forwards_than_small_ones() -> None:
    backlog = backlog_of(row("L", 10_000), *(row(name, 10) for name in "abcdefgh"))

    told = "".join(serve(backlog, budget(100), 100))

    assert all(told.count(name) == 50 for name in "Labcdefgh")


def test_a_stream_of_small_rows_does_not_hold_a_large_one_up() -> None:
    backlog, limit = backlog_of(row("L", 100)), budget(100)
    served = 0
    for _ in range(50):
        backlog.put(row("s", 10))  # a new round each time, as after a relay
        served += "L" in names(batch := backlog.take(limit))
        backlog.put_back(each for each in batch if each.request_id == "L")

    assert served >= 25


def test_the_oldest_round_goes_first_among_those_that_waited_alike() -> None:
    backlog, limit = backlog_of(row("a", 60), row("b", 60)), budget(100)

    first = backlog.take(limit)
    backlog.put(row("c", 60))
    backlog.put_back(first)

    assert [names(backlog.take(limit)) for _ in range(3)] == ["b", "a", "c"]


def test_a_row_waits_for_no_more_forwards_than_rows_were_before_it() -> None:
    rng = random.Random(20261123)
    for _ in range(200):
        limit, backlog = budget(rng.randint(20, 200)), Backlog()
        num_before: dict[int, int] = {}
        for _ in range(60):
            for _ in range(rng.choice([0, 0, 1, 3])):
                backlog.put(new := row("r", rng.randint(1, 250)))
                num_before[id(new)] = len(backlog)
            batch = backlog.take(limit)
            for each in batch:
                num_before.pop(id(each))
            for waiting in num_before:
                num_before[waiting] -= 1
            assert all(left > 0 for left in num_before.values())
            going_on = [each for each in batch if rng.random() < 0.8]
            backlog.put_back(going_on)
            num_before |= {id(each): len(backlog) for each in going_on}


def test_a_cancelled_requests_rows_are_forgotten() -> None:
    backlog = backlog_of(row("a", 10), row("b", 10), row("a", 10))

    backlog.drop("a")

    assert len(backlog) == 1
    assert names(backlog.take(budget(100))) == "b"
