"""What many connections send at once: done a few parts a turn of the event loop, and nothing of it is lost."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from service.bounded import BoundedConnection
from service.loop import HANDLES_A_TURN
from service.protocol import PARTS_A_TURN, TURN_BYTES
from service.settings import LimitSettings
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import GENERATE, Served, connect, serving, wait_until

NUM_CONNECTIONS = 40
assert NUM_CONNECTIONS > 4 * PARTS_A_TURN
NUM_READY = 20 * HANDLES_A_TURN
VERSION = b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(fake_settings(limits=LimitSettings(header_seconds=2, keep_alive_seconds=2)), FakeLoader()) as served:
        yield served


@pytest.fixture
def connections(served: Served) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        served.client.close()
        wait_until(lambda: not served.server.server_state.connections)
        connections = [stack.enter_context(connect(served)) for _ in range(NUM_CONNECTIONS)]
        wait_until(lambda: len(served.server.server_state.connections) == NUM_CONNECTIONS)
        yield connections


def loop_of(served: Served) -> asyncio.AbstractEventLoop:
    assert served.service.lifecycle.loop is not None
    return served.service.lifecycle.loop


@contextmanager
def held(served: Served, then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Meanwhile the event loop stands still: what is sent comes in one turn of it. `then` is done before that turn."""
    is_sent = threading.Event()

    def hold() -> None:
        is_sent.wait(30)
        then()

    loop_of(served).call_soon_threadsafe(hold)
    yield
    is_sent.set()


def num_answered(connections: list[socket.socket]) -> int:
    return sum(connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n" for connection in connections)


@pytest.mark.parametrize("probe", ["GET /livez", "HEAD /readyz", "GET /v2/health/live"])
def test_a_probe_passes_a_burst_of_requests(served: Served, connections: list[socket.socket], probe: str) -> None:
    num_before = len(served.lines)

    with held(served):
        for connection in connections[:-1]:
            connection.sendall(VERSION)
        connections[-1].sendall(f"{probe} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())

    assert num_answered(connections) == NUM_CONNECTIONS
    wait_until(lambda: len(served.lines) == num_before + NUM_CONNECTIONS)
    routes = [line["route"] for line in served.lines[num_before:]]
    assert routes.index(probe.split()[1]) <= 2 * PARTS_A_TURN


@pytest.mark.parametrize("probe", ["GET /livez", "HEAD /readyz"])
def test_a_probe_passes_all_that_is_ready(served: Served, probe: str) -> None:
    """Its answer is given before what was ready when it came, but for a turn's part of that."""
    ran: list[int] = []

    def slow(number: int) -> None:
        time.sleep(0.002)
        ran.append(number)

    def burst() -> None:
        for number in range(NUM_READY):
            loop_of(served).call_soon(slow, number)

    with connect(served) as connection:
        with held(served, burst):
            connection.sendall(f"{probe} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        assert connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        assert len(ran) < NUM_READY / 2


@pytest.mark.parametrize("size", [200, 10 * TURN_BYTES])
def test_a_burst_of_bodies_is_parsed_a_few_parts_a_turn(
    served: Served, connections: list[socket.socket], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_parts = [0]  # by turn
    receive = BoundedConnection.receive_data

    def note(self: BoundedConnection, data: bytes) -> None:
        num_parts[-1] += 1
        receive(self, data)

    def count_turns() -> None:
        num_parts.append(0)
        if not is_over.is_set():
            loop_of(served).call_soon(count_turns)

    is_over = threading.Event()
    monkeypatch.setattr(BoundedConnection, "receive_data", note)
    request = f"POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n".encode() + b"x" * size

    with held(served, count_turns):
        for connection in connections:
            connection.sendall(request)
    wait_until(lambda: sum(num_parts) >= NUM_CONNECTIONS * (len(request) // TURN_BYTES + 1))
    is_over.set()

    assert max(num_parts) <= 2 * PARTS_A_TURN


def test_a_client_that_ends_its_side_is_answered_in_a_burst_as_well(
    served: Served, connections: list[socket.socket]
) -> None:
    with held(served):
        for connection in connections:
            connection.sendall(VERSION)
            connection.shutdown(socket.SHUT_WR)

    assert num_answered(connections) == NUM_CONNECTIONS
    wait_until(lambda: not served.server.server_state.connections)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_request_that_came_in_time_is_answered_after_it(
    served: Served, connections: list[socket.socket], *, is_first: bool
) -> None:
    """The deadline of the first request's head, and of a connection that idles."""
    if not is_first:
        for connection in connections:
            connection.sendall(VERSION)
            while not connection.recv(65_536).endswith(b"}"):
                pass

    with held(served, lambda: time.sleep(2.1)):
        for connection in connections:
            connection.sendall(VERSION)

    assert num_answered(connections) == NUM_CONNECTIONS


def test_a_request_that_came_before_the_end_is_answered(served: Served, connections: list[socket.socket]) -> None:
    def end() -> None:
        for connection in list[Any](served.server.server_state.connections):
            connection.shutdown()

    # The turn after next: the requests have been received, and most have not been parsed.
    with held(served, lambda: loop_of(served).call_soon(lambda: loop_of(served).call_soon(end))):
        for connection in connections:
            connection.sendall(VERSION)

    assert num_answered(connections) == NUM_CONNECTIONS
    wait_until(lambda: not served.server.server_state.connections)
