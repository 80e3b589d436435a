"""What is kept of ended runs is bounded, and one owner's runs do not push out another's."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.kept import Kept
from service.record import Record


def record(number: int, owner: str | None, num_bytes: int = 1) -> Record:
    return cast(
        Record, SimpleNamespace(id=f"{owner}-{number}", owner=owner, num_bytes=num_bytes, ended=time.monotonic())
    )


async def keep(records: list[Record], **bounds: Any) -> tuple[list[str], list[str]]:
    """The ids that are kept and those that are told as forgotten, after all have ended in this order."""
    forgotten: list[str] = []
    kept = Kept(60.0, on_forget=lambda each: forgotten.append(each.id), **bounds)
    for each in records:
        kept.put(each)
    left = [each for each in records if kept.get(each.id) is not None]
    kept.close()
    assert len(kept) == len(left)
    assert kept.num_bytes == sum(each.num_bytes for each in left) <= bounds["max_bytes"]
    return [each.id for each in left], forgotten


@pytest.mark.parametrize(("size", "max_runs", "max_bytes"), [(1, 6, 1_000), (10, 1_000, 60)])
def test_a_flood_of_one_owner_costs_nobody_else_a_run(size: int, max_runs: int, max_bytes: int) -> None:
    quiet = [record(number, "quiet", size) for number in range(3)]
    flood = [record(number, "flood", size) for number in range(50)]

    left, forgotten = asyncio.run(keep(quiet + flood, max_runs=max_runs, max_bytes=max_bytes))

    assert left == [each.id for each in quiet + flood[-3:]]
    assert forgotten == [each.id for each in flood[:-3]]


def test_of_one_owner_the_oldest_go() -> None:
    records = [record(number, None) for number in range(10)]

    left, _ = asyncio.run(keep(records, max_runs=4, max_bytes=100))

    assert left == [each.id for each in records[-4:]]


def test_a_run_that_is_larger_than_all_bounds_is_not_kept() -> None:
    records = [record(0, "a"), record(0, "b", 101)]

    left, forgotten = asyncio.run(keep(records, max_runs=4, max_bytes=100))

    assert (left, forgotten) == (["a-0"], ["b-0"])
