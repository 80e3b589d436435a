"""What the hostile suites share: looking at raw answers, and at what an innocent client has of the server meanwhile."""

import asyncio
import gc
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from service.metrics import resident_bytes
from tests.service.served import Served

CANARY: Final = "zanzibar-kettle-4417"
MEGABYTE: Final = 1_000_000


def check_answers(raw: bytes) -> list[int]:
    """The statuses of the answers of one connection: the one shape, an id, no bug and no echo."""
    statuses = []
    assert CANARY.encode() not in raw
    while raw:
        head, mark, rest = raw.partition(b"\r\n\r\n")
        assert mark, raw[:200]
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        statuses.append(int(status.split()[1]))
        if statuses[-1] == 100:
            raw = rest
            continue
        assert headers["x-request-id"].startswith("tie-")
        body, raw = _split(rest, headers)
        if statuses[-1] >= 400 and body:
            check_error(statuses[-1], body)
    return statuses


def _split(rest: bytes, headers: dict[str, str]) -> tuple[bytes, bytes]:
    if "content-length" in headers:
        size = int(headers["content-length"])
        return rest[:size], rest[size:]
    return rest, b""  # a stream, or what ends with the connection


def check_error(status: int, body: bytes) -> None:
    assert status < 500 or status == 503, (status, body[:300])
    error = json.loads(body)
    assert set(error) == {"error"}
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert CANARY.encode() not in body


class Innocent:
    """A client that asks on, in a thread, and how long each answer took."""

    def __init__(self, served: Served) -> None:
        self.seconds: list[float] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(str(served.client.base_url),))

    def _ask(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not self._is_over.wait(0.02):
                started = time.monotonic()
                assert client.get("/livez").status_code == 200
                self.seconds.append(time.monotonic() - started)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(30)

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


@contextmanager
def beside_an_innocent(served: Served) -> Iterator[Innocent]:
    innocent = Innocent(served)
    innocent.start()
    try:
        yield innocent
    finally:
        innocent.stop()


def beside_good_requests(served: Served, count: int) -> Innocent:
    """What an innocent client has of the server beside one that asks for nothing odd: whose fault a wait is."""
    with beside_an_innocent(served) as innocent:
        for _ in range(count):
            assert served.post({"prompt": CANARY, "reasoning_length": 2, "answer": {"length": 2}}).status_code == 200
    return innocent


def most_seconds(usual: Innocent) -> float:
    """Which p99 is no harm: 0.1 s, or what comes of the machine being busy with others."""
    return max(0.1, 3 * usual.p99)


class Growth:
    """Megabytes of this process since the last `start`, in which client and server live together."""

    def __init__(self) -> None:
        self._before = 0.0

    def start(self) -> None:
        gc.collect()
        self._before = resident_bytes()

    @property
    def megabytes(self) -> float:
        gc.collect()
        return (resident_bytes() - self._before) / MEGABYTE


async def send(url: httpx.URL, parts: list[bytes], pause: float = 0.0, patience: float = 10.0) -> bytes:
    """Everything that comes back until the server closes, or says no more for a while; a reset is no answer."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    received = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(patience):
            while part := await reader.read(65_536):
                received += part
    except (ConnectionError, TimeoutError):
        pass
    writer.transport.abort()  # nobody wants what is not sent yet
    await asyncio.sleep(0)  # in which it is closed
    return received
