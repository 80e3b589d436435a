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
GAP: Final = 0.005  # seconds between two probes
IDLE_PROBES: Final = 300
ENOUGH: Final = 500  # probes for a p99: of a hundred it is the maximum
WAITS: Final = 3  # of a probe, for a thread to run: the server's loop, who holds the lock it needs, and the prober


@dataclass(slots=True)
class Probes:
    """How long `/livez` took; what the machine alone may take: the same server's when it was idle, and how much later
    than it asked to the prober was woken between two probes.
    """

    idle: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    woken_late: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return percentile(self.seconds, 0.99)

    @property
    def machine(self) -> float:
        return percentile(self.idle, 0.99) + WAITS * percentile(self.woken_late, 0.99)

    def are_late(self, latest: float = LATEST) -> bool:
        """99 in 100 of them, or 9 in 10 where they are few, beyond `latest` and what the machine took."""
        share = 0.99 if len(self.seconds) >= ENOUGH else 0.9
        return percentile(self.seconds, share) > latest + self.machine

    @property
    def words(self) -> str:
        p50, p90, idle, woken = (
            f"{percentile(seconds, share) * 1000:.1f} ms"
            for seconds, share in ((self.seconds, 0.5), (self.seconds, 0.9), (self.idle, 0.99), (self.woken_late, 0.99))
        )
        return (
            f"/livez of {len(self.seconds)} probes: p50 {p50}, p90 {p90}, p99 {self.p99 * 1000:.1f} ms, latest"
            f" {max(self.seconds) * 1000:.1f} ms (p99 of the machine: idle {idle}, woken late by {woken})"
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
        probes.seconds, probes.woken_late = ours.recv()
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
    seconds, woken_late = [_once(connection)], [0.0]
    while True:
        asleep = time.monotonic()
        if told.poll(GAP):
            break
        woken_late.append(time.monotonic() - asleep - GAP)
        seconds.append(_once(connection))
    told.send((seconds, woken_late))
    connection.close()


def _once(connection: http.client.HTTPConnection) -> float:
    started = time.monotonic()
    connection.request("GET", "/livez")
    with connection.getresponse() as response:
        response.read()
        assert response.status == 200
    return time.monotonic() - started
