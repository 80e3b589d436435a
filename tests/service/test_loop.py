"""The event loop: sockets first, the rest a few a turn, in order, and nothing that is ready is left lying."""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from service.loop import HANDLES_A_TURN, FairLoop

MANY = 10 * HANDLES_A_TURN

pytestmark = pytest.mark.timeout(20)  # a loop that forgets what is ready sleeps for ever


@pytest.fixture
def loop() -> Iterator[FairLoop]:
    loop = FairLoop()
    yield loop
    loop.close()


@pytest.fixture
def sockets(loop: FairLoop) -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        yield ours, theirs


def run(loop: FairLoop, until: Callable[[], bool]) -> None:
    def look() -> None:
        if until():
            loop.stop()
        else:
            loop.call_soon(look)

    loop.call_soon(look)
    loop.run_forever()


def test_what_is_ready_runs_in_order_and_all_of_it(loop: FairLoop) -> None:
    ran: list[int] = []
    for number in range(MANY):
        loop.call_soon(ran.append, number)

    run(loop, lambda: len(ran) == MANY)

    assert ran == list(range(MANY))


def test_what_becomes_ready_later_waits_for_what_was_ready_before(loop: FairLoop) -> None:
    ran: list[str] = []
    loop.call_soon(lambda: loop.call_soon(ran.append, "later"))
    for number in range(MANY):
        loop.call_soon(ran.append, str(number))

    run(loop, lambda: "later" in ran)

    assert ran.index("later") == MANY


def test_a_socket_is_read_before_the_rest_of_a_burst(
    loop: FairLoop, sockets: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = sockets
    ran: list[str] = []

    def read() -> None:
        theirs.recv(100)
        ran.append("read")

    loop.add_reader(theirs, read)
    loop.call_soon(ours.send, b"x")  # arrives while the burst is on
    for number in range(MANY):
        loop.call_soon(ran.append, str(number))

    run(loop, lambda: len(ran) == MANY + 1)

    assert ran.index("read") < 2 * HANDLES_A_TURN


def test_a_busy_socket_does_not_keep_the_rest_from_running(
    loop: FairLoop, sockets: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = sockets
    ours.send(b"x")
    ran: list[int] = []
    num_reads = 0

    def leave_it_there() -> None:
        nonlocal num_reads
        num_reads += 1

    loop.add_reader(theirs, leave_it_there)
    for number in range(MANY):
        loop.call_soon(ran.append, number)

    run(loop, lambda: len(ran) == MANY)

    assert 0 < num_reads <= 2 * MANY / HANDLES_A_TURN


def test_what_is_to_run_at_once_does(loop: FairLoop) -> None:
    ran: list[str] = []

    async def step() -> None:
        ran.append("a task's first step")
        await asyncio.sleep(0)
        ran.append("its second")

    def hurry() -> None:
        with loop.at_once():
            tasks.append(loop.create_task(step()))
            loop.call_soon(ran.append, "cancelled").cancel()
            assert not ran
        assert ran == ["a task's first step"]

    tasks: list[asyncio.Task[None]] = []
    loop.call_soon(hurry)
    for number in range(MANY):
        loop.call_soon(ran.append, str(number))

    run(loop, lambda: len(ran) == MANY + 2)

    assert ran == ["a task's first step", *map(str, range(MANY)), "its second"]
    assert tasks[0].done()


def test_a_connection_is_there_before_the_rest_of_a_burst(loop: FairLoop) -> None:
    """And a loop that has nothing else to do does not sleep over it."""
    made = loop.create_future()
    ran: list[int] = []

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.set_result(len(ran))
            transport.close()

    async def connect(num_ready: int) -> int:
        nonlocal made
        made = loop.create_future()
        ran.clear()
        server = await loop.create_server(Noting, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            for number in range(num_ready):
                loop.call_soon(ran.append, number)
            num_ran: int = await asyncio.wait_for(made, 10)
        server.close()
        return num_ran

    assert loop.run_until_complete(connect(0)) == 0
    assert loop.run_until_complete(connect(MANY)) <= 4 * HANDLES_A_TURN


def test_nothing_that_other_threads_append_is_lost_or_reordered(loop: FairLoop) -> None:
    """While the loop's own thread holds back, releases and puts first as fast as it can."""
    num_threads, num_each = 3, 4_000
    ran: list[tuple[int, int]] = []
    pairs: list[int] = []
    is_over = threading.Event()

    def append(thread: int) -> None:
        for number in range(num_each):
            loop.call_soon_threadsafe(ran.append, (thread, number))

    def hurry(number: int) -> None:
        with loop.at_once():
            loop.call_soon(pairs.append, 2 * number)
            loop.call_soon(pairs.append, 2 * number + 1)
        if not is_over.is_set():
            loop.call_soon(hurry, number + 1)

    threads = [threading.Thread(target=append, args=(thread,)) for thread in range(num_threads)]
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        loop.call_soon(hurry, 0)
        for thread in threads:
            thread.start()
        run(loop, lambda: len(ran) == num_threads * num_each)
    finally:
        sys.setswitchinterval(switch)
        is_over.set()
        for thread in threads:
            thread.join()

    assert pairs == list(range(len(pairs)))
    for number in range(num_threads):
        assert [each for thread, each in ran if thread == number] == list(range(num_each))


def test_what_is_held_back_survives_a_stop(loop: FairLoop) -> None:
    ran: list[int] = []
    loop.call_soon(loop.stop)
    for number in range(MANY):
        loop.call_soon(ran.append, number)

    loop.run_forever()
    assert len(ran) < MANY
    run(loop, lambda: len(ran) == MANY)

    assert ran == list(range(MANY))
