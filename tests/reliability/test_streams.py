"""Many streams at once lose nothing; readers that stall cost the others nothing, keep nothing, and are cut in time."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import service.server
from service.metrics import resident_bytes
from service.settings import LimitSettings, ServerSettings
from tests.reliability.members import scripted
from tests.reliability.probing import LATEST, probing
from tests.reliability.processes import Serving, serving_process
from tests.service.fakes import OPTIONS, FakeLoader, Faults, fake_settings
from tests.service.served import GENERATE, Served, serving, wait_until

SEND_SECONDS = 1.5
LONGEST_TURN = 3 * LATEST  # of CPU, while hundreds of requests come and hundreds of streams have news
LONGEST_SEARCH = 0.3  # seconds of CPU, for garbage, beside hundreds of live requests
MEGABYTE = 2**20
ROOM = LimitSettings(max_running=256, max_waiting=512, max_kept_runs=8)


def prompt_of(number: int) -> str:
    """One for each number, without the digits that mean something to the scripted members."""
    return "rev " + "".join("345678"[number // 6**place % 6] for place in range(6))


def request_of(number: int, detail: str) -> bytes:
    """In HTTP/1.0 a body without length ends with its connection, so what comes is the stream and nothing else."""
    body = json.dumps({"prompt": prompt_of(number), "events": detail, "stream": True}).encode()
    head = f"POST {GENERATE} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def read_stream(address: tuple[str, int], request: bytes) -> str:
    reader, writer = await asyncio.open_connection(*address, limit=MEGABYTE)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], head
    text = (await reader.read()).decode()
    writer.close()
    return text


async def read_all(address: tuple[str, int], requests: list[bytes]) -> list[str]:
    return await asyncio.gather(*(read_stream(address, request) for request in requests))


def events_of(text: str) -> list[dict[str, Any]]:
    frames = [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]
    fields = [dict(line.split(": ", 1) for line in frame.split("\n")) for frame in frames]
    events = [json.loads(field["data"]) for field in fields]
    assert [(int(field["id"]), field["event"]) for field in fields] == [(one["seq"], one["type"]) for one in events]
    return events


def address_of(served: Served | Serving) -> tuple[str, int]:
    return "127.0.0.1", int(served.url.rpartition(":")[2])


@pytest.mark.timeout(600)
def test_no_event_is_lost_doubled_or_out_of_order(
    tmp_path: Path, figure: Callable[[str], None], numbers: Callable[[int, int], int]
) -> None:
    num_streams = numbers(60, 500)
    details = ("round", "step", "snapshot")
    requests = [request_of(number, details[number % 3]) for number in range(num_streams)]
    with serving_process(fake_settings(limits=ROOM), scripted, tmp_path / "log", seconds=0.002) as served:
        with probing(served.url) as probes:
            started = time.monotonic()
            texts = asyncio.run(read_all(address_of(served), requests))
            seconds = time.monotonic() - started
        none_is_open = f'tie_sse_streams_open{{endpoint="{GENERATE}"}} 0.0'
        wait_until(lambda: none_is_open in served.get("/metrics").text)

    streams = [events_of(text) for text in texts]
    num_events = num_skipped = 0
    for number, events in enumerate(streams):
        numbers_told = [event["seq"] for event in events]
        skipped = sum(event.get("skipped", 0) for event in events)
        assert len(events) + skipped == numbers_told[-1]
        assert numbers_told == sorted(set(numbers_told))
        assert [event["type"] for event in events if event["type"] in ("tie.completed", "tie.error")] == [
            "tie.completed"
        ]
        assert events[-1]["type"] == "tie.completed"
        assert [event["type"] for event in events].count("tie.round") == events[-1]["tie"]["rounds"]
        if details[number % 3] != "snapshot":
            assert skipped == 0
        num_events, num_skipped = num_events + len(events), num_skipped + skipped
    times = served.loop_times()
    figure(
        f"streams: {num_streams} at once, {num_events} events delivered, {num_skipped} merged into snapshots,"
        f" none lost, in {seconds:.1f} s; {probes.words}; {times.words}"
    )
    assert len({events[0]["id"] for events in streams}) == num_streams
    assert not probes.are_late(), probes.words
    assert times.longest < LONGEST_TURN, times.worst
    assert times.longest_search < LONGEST_SEARCH


@dataclass
class Phase:
    """How long the other clients' requests took, and the most memory that there was meanwhile."""

    seconds: float
    most_bytes: float


def measure(served: Served, num_others: int) -> Phase:
    """A few clients that wait for plain answers, one request each."""
    most = [resident_bytes()]

    def ask(number: int) -> float:
        started = time.monotonic()
        assert served.post({"prompt": prompt_of(number)}, timeout=300).status_code == 200
        most.append(resident_bytes())
        return time.monotonic() - started

    with ThreadPoolExecutor(num_others) as pool:
        times = sorted(pool.map(ask, range(num_others)))
    return Phase(times[len(times) // 2], max(most))


@contextmanager
def readers(served: Served, requests: list[bytes]) -> Iterator[None]:
    """Clients that read as fast as events come."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: asyncio.run(read_all(address_of(served), requests)))
        wait_until(lambda: served.metric("tie_sse_streams_open", endpoint=GENERATE) == len(requests), 60)
        yield
        assert all("tie.completed" in text for text in reading.result())


@contextmanager
def stalled(served: Served, requests: list[bytes]) -> Iterator[None]:
    """Clients that ask and never read."""
    with ExitStack() as stack:
        for request in requests:
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.connect(address_of(served))
            sock.sendall(request)
        wait_until(lambda: served.metric("tie_sse_streams_open", endpoint=GENERATE) == len(requests), 60)
        yield


@pytest.mark.timeout(600)
def test_readers_that_stall_cost_the_others_nothing_and_are_cut(
    monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None], numbers: Callable[[int, int], int]
) -> None:
    """The same load in turns: with clients that read, and with as many that stall. Small buffers, so that they do.

    The quickest turn of each kind counts, and there are more turns while the machine is too busy to tell.
    """
    monkeypatch.setattr(service.server, "SEND_BUFFER_BYTES", 4_096)
    monkeypatch.setitem(OPTIONS, "reasoning", 160)  # far more than the buffers of a connection hold
    num_stalled, num_others = numbers(8, 100), numbers(4, 10)
    requests = [request_of(number, "snapshot") for number in range(num_stalled)]
    server = ServerSettings(send_timeout_seconds=SEND_SECONDS)
    beside_readers, beside_stalled, growths, cuts = [], [], [], []
    with serving(fake_settings(server=server, limits=ROOM), FakeLoader(Faults(seconds=0.01))) as served:
        while len(cuts) < 2 or (len(cuts) < 5 and min(beside_stalled) >= 1.2 * min(beside_readers)):
            with readers(served, requests):
                beside_readers.append(measure(served, num_others).seconds)
            before = resident_bytes()
            with stalled(served, requests):
                phase = measure(served, num_others)
                ended = time.monotonic()
                wait_until(lambda: served.metric("tie_sse_streams_open", endpoint=GENERATE) == 0, 60)
                cuts.append(time.monotonic() - ended)
                wait_until(lambda: len(served.service.runs) == 0)
                wait_until(lambda: len(served.server.server_state.connections) <= num_others, 10)
            beside_stalled.append(phase.seconds)
            growths.append((max(phase.most_bytes, resident_bytes()) - before) / MEGABYTE)

        cancelled = served.metric("tie_request_cancellations_total", cause="disconnect", phase="running")
        ratio = min(beside_stalled) / min(beside_readers)
        figure(
            f"stalled: {num_stalled} readers, memory growth {growths[-1]:.1f} MB, others {ratio:.2f} x as long as"
            f" beside readers, all cut {cuts[-1]:.1f} s after the others' end (send timeout {SEND_SECONDS} s)"
        )
        assert cancelled > 0.9 * num_stalled * len(cuts)  # a stream may just fit what the buffers hold
        assert growths[-1] < 20  # the first turns fill pools that stay
        assert ratio < 1.2, (beside_readers, beside_stalled)
        assert max(cuts) < SEND_SECONDS + 5


def test_a_reader_that_stalls_is_cut_even_if_nothing_more_is_to_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on without it, and another connection gets the whole of it."""
    monkeypatch.setattr(service.server, "SEND_BUFFER_BYTES", 4_096)
    monkeypatch.setitem(OPTIONS, "reasoning", 288)
    server = ServerSettings(send_timeout_seconds=0.5)
    room = ROOM.model_copy(update={"max_kept_states": 4_096})  # so that a replay is more than buffers hold
    with serving(fake_settings(server=server, limits=room), FakeLoader()) as served:
        run_id = served.post({"prompt": prompt_of(1), "events": "step"}).json()["id"]
        path = f"/v1/tie/requests/{run_id}/events"
        asked = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        for _ in range(3):
            with stalled(served, [asked]):
                wait_until(lambda: served.metric("tie_sse_streams_open", endpoint=GENERATE) == 0, 10)
                wait_until(lambda: len(served.server.server_state.connections) <= 1, 10)  # this test's own

        events = [
            json.loads(line)
            for line in served.client.get(path, headers={"accept": "application/x-ndjson"}).text.splitlines()
        ]
        assert events[-1]["type"] == "tie.completed"
        assert sum(1 + event.get("skipped", 0) for event in events) == events[-1]["seq"]
