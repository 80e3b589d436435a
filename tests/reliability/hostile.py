"""What the hostile suites share: looking at raw answers, and at what becomes of the server meanwhile."""

import asyncio
import json
from typing import Final
from urllib.parse import urlsplit

from tests.reliability.processes import Serving

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


class Growth:
    """Megabytes that a server's process has gained since the last `start`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self.start()

    def start(self) -> None:
        self._before = self._serving.facts()["resident"]

    @property
    def megabytes(self) -> float:
        return (self._serving.facts()["resident"] - self._before) / MEGABYTE


def check_nothing_is_told(serving: Serving) -> None:
    """Of what was sent, to operators; nor is there any bug."""
    log = serving.log()
    assert CANARY not in log
    assert CANARY not in serving.get("/metrics").text
    assert '"exception"' not in log
    assert "Traceback" not in log


async def send(url: str, parts: list[bytes], pause: float = 0.0, patience: float = 10.0) -> bytes:
    """Everything that comes back until the server closes, or says no more for a while; a reset is no answer."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
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
