"""Bursts are done a few pieces a turn of the event loop, in their order, and a lone piece waits for nothing."""

import asyncio

from service.turns import Lull, Turns


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


def test_what_comes_alone_waits_for_no_lull() -> None:
    done: list[int] = []

    async def run() -> None:
        lull = Lull(0.005, 0.05, Turns(8))
        for number in range(3):
            lull.put(lambda number=number: done.append(number))  # type: ignore[misc]
            assert done == list(range(number + 1))
            await asyncio.sleep(0.02)

    asyncio.run(run())


def test_what_comes_in_a_burst_waits_for_its_end_in_order() -> None:
    done: list[int] = []

    async def run() -> None:
        lull = Lull(0.05, 10.0, Turns(8))
        is_over = asyncio.Event()
        lull.note()
        for number in range(20):
            lull.put(lambda number=number: done.append(number))  # type: ignore[misc]
            await asyncio.sleep(0)
        lull.put(is_over.set)
        assert done == []
        await is_over.wait()

    asyncio.run(asyncio.wait_for(run(), 10))

    assert done == list(range(20))


def test_a_piece_that_fails_in_a_lull_takes_no_other_with_it() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("its client has gone")

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        lull = Lull(0.005, 0.05, Turns(8))
        lull.note()
        lull.put(fail)
        lull.put(lambda: done.append(1))
        await asyncio.sleep(0.05)
        lull.put(lambda: done.append(2))
        await asyncio.sleep(0.05)

    asyncio.run(run())

    assert done == [1, 2]


def test_a_burst_without_end_holds_nothing_up() -> None:
    """As much comes as a lull needs to be none, and what came first is done all the same."""

    async def run() -> None:
        lull, done = Lull(1.0, 0.05, Turns(8)), asyncio.Event()
        lull.note()
        lull.put(done.set)
        while not done.is_set():
            lull.note()
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 10))
