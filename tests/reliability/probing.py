"""A prober of `/livez` in a process of its own, so that no client's work delays what it measures."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final
from urllib.parse import urlsplit

from tests.reliability.processes import CONTEXT

LATEST: Final = 0.020  # seconds, of 99 in 100 probes: the promise
CALM: Final = 0.004  # of an idle server on a machine that does nothing else, with room to spare
GAP: Final = 0.005  # seconds between two probes
IDLE_PROBES: Final = 100


@dataclass(slots=True)
class Probes:
    """How long `/livez` took, and how long it took of the same server when it was idle."""

    idle: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return percentile(self.seconds, 0.99)

    def are_late(self, latest: float = LATEST) -> bool:
        """On a machine where not even an idle server is kept waiting by other programs."""
        return self.p99 > latest and percentile(self.idle, 0.99) < CALM

    @property
    def words(self) -> str:
        return (
            f"/livez of {len(self.seconds)} probes: p50 {percentile(self.seconds, 0.5) * 1000:.1f} ms,"
            f" p99 {self.p99 * 1000:.1f} ms, latest {max(self.seconds) * 1000:.1f} ms"
            f" (idle: p99 {percentile(self.idle, 0.99) * 1000:.1f} ms)"
        )


def percentile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(len(seconds) * share)]


@contextmanager
def probing(url: str) -> Iterator[Probes]:
    """Probe the server, idle first, then as long as the block runs; the figures are there afterwards."""
    probes = Probes()
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_probe, args=(url, theirs), daemon=True)
    process.start()
    try:
        assert ours.poll(60), "the prober did not start"
        probes.idle = ours.recv()
        ours.send("go")
        yield probes
        ours.send("stop")
        assert ours.poll(60), "the prober did not end"
        probes.seconds = ours.recv()
        process.join(10)
    finally:
        if process.is_alive():
            process.kill()
        process.join()


def _probe(url: str, told: Connection) -> None:
    """In the prober's process."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    told.send([_once(connection) for _ in range(IDLE_PROBES)])
    told.recv()
    seconds = [_once(connection)]
    while not told.poll(GAP):
        seconds.append(_once(connection))
    told.send(seconds)
    connection.close()


def _once(connection: http.client.HTTPConnection) -> float:
    started = time.monotonic()
    connection.request("GET", "/livez")
    with connection.getresponse() as response:
        response.read()
        assert response.status == 200
    return time.monotonic() - started
