"""Bursts are done a few pieces a turn of the event loop, in their order, and a lone piece waits for nothing."""

import asyncio

from service.turns import Turns


def test_a_lone_piece_is_done_at_once() -> None:
    done: list[int] = []

    async def run() -> None:
        turns = Turns(2)
        for number in range(5):
            turns.put(lambda number=number: done.append(number))  # type: ignore[misc]
            assert done == list(range(number + 1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(run())


def test_a_burst_is_done_in_order_and_whoever_comes_meanwhile_waits_for_a_few() -> None:
    done: list[object] = []

    async def run() -> None:
        turns, loop = Turns(4), asyncio.get_running_loop()
        for number in range(20):
            turns.put(lambda number=number: done.append(number))  # type: ignore[misc]
        loop.call_soon(done.append, "probe")
        turns.put(lambda: done.append(20))
        while len(done) < 22:
            before = len(done)
            await asyncio.sleep(0)
            assert len(done) - before <= 5

    asyncio.run(run())

    assert [each for each in done if each != "probe"] == list(range(21))
    assert done.index("probe") <= 8


def test_a_piece_that_fails_takes_no_other_with_it() -> None:
    done: list[int] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        turns = Turns(1)
        turns.put(lambda: None)
        turns.put(lambda: 1 / 0)
        turns.put(lambda: done.append(1))
        for _ in range(8):
            await asyncio.sleep(0)

    asyncio.run(run())

    assert done == [1]
