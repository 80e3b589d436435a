"""Clients that leave at any point and in any way: their rows are free within a step, and nothing is left of them."""

import asyncio
import gc
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from service.settings import LimitSettings
from tests.reliability.release_watch import watching_releases
from tests.service.fakes import FakeLoader, Faults, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, serving, wait_until

STEP = 0.05
GRACE = 0.05
AT_ONCE = 40
ACCEPTS = ("application/json", "text/event-stream", "application/x-ndjson")
DETAILS = ("round", "step", "snapshot")
WAYS = ("reset", "close", "half-close")


def body_of(chance: random.Random, **fields: str) -> bytes:
    detail = chance.choice(DETAILS)
    return f'{{"prompt": "rev {chance.randrange(10**6):06}", "events": "{detail}"}}'.encode()


def request_of(chance: random.Random) -> bytes:
    body = body_of(chance)
    head = f"POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\naccept: {chance.choice(ACCEPTS)}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def leave(sock: socket.socket, way: str) -> None:
    """A reset drops what is on its way; a half-close says that nothing more will be asked, and then goes too."""
    if way == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if way == "half-close":
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        time.sleep(0.01)
    sock.close()


def come_and_leave(address: tuple[str, int], seed: int) -> None:
    """One client: never started, in the middle of its request, before the first event, or somewhere in the answer."""
    chance = random.Random(seed)
    way, moment, request = chance.choice(WAYS), chance.random(), request_of(chance)
    sock = socket.create_connection(address, 20)
    with suppress(OSError):  # refused, where all places are taken
        if moment < 0.1:
            pass
        elif moment < 0.2:
            sock.sendall(request[: chance.randrange(len(request))])
        elif moment < 0.4:
            sock.sendall(request)
        else:
            sock.sendall(request)
            sock.settimeout(chance.random() * 0.4)
            for _ in range(chance.randrange(1, 30)):
                if not sock.recv(chance.choice((1, 64, 4096))):
                    break
    leave(sock, way)


def num_files() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


def tasks_of(served: Served) -> int:
    loop = served.service.lifecycle.loop
    assert loop is not None
    counted: list[int] = []
    loop.call_soon_threadsafe(lambda: counted.append(len(asyncio.all_tasks(loop))))
    wait_until(lambda: bool(counted))
    return counted[0]


def is_idle(served: Served) -> bool:
    loaded = served.service.lifecycle.loaded
    assert loaded is not None
    engine, runs = loaded.engine, served.service.runs
    return (len(runs), engine.num_running, engine.num_waiting, engine.num_rows) == (0, 0, 0, 0)


def percentile(ordered: list[float], share: float) -> float:
    return ordered[int(len(ordered) * share)]


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def slow_server() -> Iterator[tuple[Served, tuple[str, int]]]:
    limits = LimitSettings(max_running=32, max_waiting=512, max_kept_runs=8)
    loader = FakeLoader(Faults(seconds=STEP))
    with serving(fake_settings(limits=limits), loader) as served:
        yield served, ("127.0.0.1", int(served.url.rpartition(":")[2]))


@pytest.mark.timeout(600)
def test_disconnects_at_random_points_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None], numbers: Callable[[int, int], int]
) -> None:
    """Each cancelled run is over, and its rows are gone, within the step that was running and the grace.

    The grace is for a quiet machine: it is longer by as much as a thread that only sleeps had to wait for its turn.
    """
    num_leaving = numbers(120, 1_000)
    with watching_releases(monkeypatch) as watch, slow_server() as (served, address):
        served.post({"prompt": PROMPT, "stream": True})  # the first stream of a process starts a task that stays
        served.client.close()
        wait_until(lambda: is_idle(served) and not served.server.server_state.connections)
        with without_collector():
            watch.lags.clear()
            tasks, files, threads = tasks_of(served), num_files(), threading.active_count()
            seeds = iter(range(num_leaving))
            clients = [
                threading.Thread(target=lambda: [come_and_leave(address, seed) for seed in seeds])
                for _ in range(AT_ONCE)
            ]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            left = time.monotonic()
            wait_until(lambda: is_idle(served), 20)
            seconds = time.monotonic() - left
            wait_until(lambda: not served.server.server_state.connections, 20)
            wait_until(lambda: tasks_of(served) <= tasks, 20)
            wait_until(lambda: num_files() <= files, 20)
            assert threading.active_count() <= threads + 1  # the second tokenising thread starts when it is needed

        cancelled = sum(
            served.metric("tie_request_cancellations_total", cause="disconnect", phase=phase)
            for phase in ("queued", "running")
        )
        figure(
            f"disconnects: {num_leaving} at random points, {cancelled:.0f} cancelled runs, idle {1000 * seconds:.0f} ms"
            " after the last had gone and what it had sent was read, nothing left, no collector"
        )
        waits = watch.waits()
        beyond = sorted(seconds - longest for seconds, longest in waits)
        lags = sorted(until - due for due, until in watch.lags)
        steps = sorted(until - start for start, until in watch.steps)
        seconds_of = sorted(seconds for seconds, _ in waits)
        figure(
            f"disconnects: of {len(waits)} runs from the disconnect until over and its rows gone: median"
            f" {1000 * percentile(seconds_of, 0.5):.0f}, p99 {1000 * percentile(seconds_of, 0.99):.0f}, worst"
            f" {1000 * seconds_of[-1]:.0f} ms; a step under this load median {1000 * percentile(steps, 0.5):.0f}, p99"
            f" {1000 * percentile(steps, 0.99):.0f} ms; beyond the longest step meanwhile p99"
            f" {1000 * percentile(beyond, 0.99):.0f}, worst {1000 * beyond[-1]:.0f} ms; a sleeper waits p99"
            f" {1000 * percentile(lags, 0.99):.0f}, worst {1000 * lags[-1]:.0f} ms for its turn"
        )
        assert len(waits) == cancelled
        assert percentile(beyond, 0.99) <= GRACE + percentile(lags, 0.99)
        assert beyond[-1] <= GRACE + lags[-1]
        assert cancelled > num_leaving / 10  # the others left before there was a run, or after its end
        for gauge, labels in (
            ("tie_sse_streams_open", {"endpoint": GENERATE}),
            ("tie_requests_running", {"ensemble": "tie"}),
            ("tie_requests_waiting", {"ensemble": "tie"}),
        ):
            assert served.metric(gauge, **labels) == 0
        assert len(served.service.runs._kept) <= 8
        assert not [line for line in served.lines if line["event"] == "exception"]


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_free_within_a_step_of_a_disconnect(
    way: str, figure: Callable[[str], None], numbers: Callable[[int, int], int]
) -> None:
    """One client at a time, so that it is known which step was running. The median, for a busy machine's sake."""
    waits = []
    with slow_server() as (served, address):
        engine = served.service.lifecycle.loaded.engine  # type: ignore[union-attr]
        for seed in range(numbers(9, 60)):
            sock = socket.create_connection(address, 20)
            sock.sendall(request_of(random.Random(seed)))
            wait_until(lambda: engine.num_rows > 0)
            time.sleep(random.Random(seed).random() * 3 * STEP)
            leave(sock, way)
            left = time.monotonic()
            while engine.num_rows or len(served.service.runs):
                assert time.monotonic() - left < 20
                time.sleep(0.001)
            waits.append(time.monotonic() - left)
    waits.sort()
    median, worst = waits[len(waits) // 2], waits[-1]
    figure(f"{way}: rows free after {1000 * median:.0f} ms (median), {1000 * worst:.0f} ms (worst); a step is 50 ms")
    assert median <= STEP + GRACE
