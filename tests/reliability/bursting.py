"""Bursts of requests from a process of its own: plain sockets and no event loop, so that it measures the server alone.

Beside it the least that a server in Python can be, to tell what the machine takes.
"""

import asyncio
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Final
from urllib.parse import urlsplit

from tests.reliability.processes import CONTEXT

START_SECONDS: Final = 60
BURST_SECONDS: Final = 100
BACKLOG: Final = 2_048
PROBE: Final = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
BARE_ANSWER: Final = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
Parts = tuple[bytes, ...]
"""What a client sends of one request, call by call: most send its head and its body in two."""


class Bursts:
    """The client's process, as the test sees it."""

    def __init__(self, told: Connection) -> None:
        self._told = told

    def burst(
        self, url: str, requests: Sequence[Parts], num_first: int, then: Callable[[], object]
    ) -> list[tuple[bytes, float]]:
        """Each request over its own connection, all at once; `then` is done when so many have an answer.

        What came back, and the seconds from a request's first send to the first byte of its answer.
        """
        self._told.send((url, requests, num_first))
        assert self._told.poll(BURST_SECONDS), "the burst was not answered"
        self._told.recv()
        then()
        assert self._told.poll(BURST_SECONDS), "the burst was not answered to its end"
        answers: list[tuple[bytes, float]] = self._told.recv()
        return answers


@contextmanager
def bursting() -> Iterator[Bursts]:
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_send_bursts, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Bursts(ours)
    finally:
        process.kill()
        process.join()


@contextmanager
def bare_server() -> Iterator[str]:
    """The URL of a server that answers whatever comes with the same bytes."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_answer_bare, args=(theirs,), daemon=True)
    process.start()
    try:
        assert ours.poll(START_SECONDS), "the bare server did not start"
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def _send_bursts(told: Connection) -> None:
    """In the client's process."""
    while True:
        url, requests, num_first = told.recv()
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 0)
        sockets = [socket.create_connection(address) for _ in requests]
        with socket.create_connection(address) as last:  # once it has an answer, all others have been accepted
            last.sendall(PROBE)
            last.recv(1)
        told.send(_burst(sockets, requests, num_first, told))


def _burst(
    sockets: list[socket.socket], requests: Sequence[Parts], num_first: int, told: Connection
) -> list[tuple[bytes, float]]:
    selector = selectors.DefaultSelector()
    answers = [b""] * len(requests)
    seconds, sent = [0.0] * len(requests), [0.0] * len(requests)
    num_answered = 0
    for number, each in enumerate(sockets):
        each.setblocking(False)
        selector.register(each, selectors.EVENT_READ, number)
    for number, each in enumerate(sockets):
        sent[number] = time.monotonic()
        for part in requests[number]:
            each.send(part)
    while selector.get_map():
        for key, _ in selector.select():
            each, number = sockets[key.data], key.data
            received = each.recv(65_536)
            if not answers[number]:
                seconds[number] = time.monotonic() - sent[number]
                num_answered += 1
                if num_answered == num_first:
                    told.send(num_first)
            answers[number] += received
            if not received:
                selector.unregister(each)
                each.close()
    return list(zip(answers, seconds, strict=True))


class _Bare(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._is_answered = transport, False

    def data_received(self, data: bytes) -> None:
        if not self._is_answered:
            self._is_answered = True
            self._transport.write(BARE_ANSWER)
            self._transport.write_eof()


def _answer_bare(told: Connection) -> None:
    """In the process of the bare server."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", 0, backlog=BACKLOG)
        told.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    asyncio.run(serve())
