"""SIGTERM under load: what was admitted is answered, what comes is refused, and the process ends in time."""

import asyncio
import contextlib
import json
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from service.settings import LimitSettings, ServerSettings
from tests.reliability.asking import GENERATE, Reply, ask, mixed_body, open_client
from tests.reliability.members import HANG, echoing
from tests.reliability.processes import Serving, serving_process
from tests.service.fakes import fake_settings

NUM_CLIENTS = 12
NUM_STALLED = 5
STALL_SECONDS = 1.0  # until what nobody reads fills the kernel's buffers
GRACE = 5.0  # seconds beyond the drain
LONG = {"prompt": "key 123456789012;", "reasoning_length": 1000, "answer": {"length": 8}, "events": "snapshot"}
REQUEST = (
    "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n"
    "content-length: {length}\r\n\r\n{body}"
)


@dataclass
class Seen:
    """What the clients of a server saw until it was gone."""

    signalled: float = 0.0
    seconds: float = 0.0  # from then to the exit
    status: int | None = None  # of the exit, if it came in time
    replies: list[Reply] = field(default_factory=list)
    unanswered: list[float] = field(default_factory=list)  # when requests were sent that got no response at all
    stalled: set[str] = field(default_factory=set)
    num_cut: int = 0  # of the stalled ones: those that still had more to read when the server went
    ready: list[int] = field(default_factory=list)
    alive: list[int] = field(default_factory=list)
    refused: list[httpx.Response] = field(default_factory=list)


def stall(url: str) -> tuple[socket.socket, str]:
    """A client that reads the head of a long stream and then nothing more; and the id of its request."""
    address = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # else the kernel keeps megabytes for it
    connection.settimeout(30)
    connection.connect((address.hostname, address.port))
    body = json.dumps(LONG)
    connection.sendall(REQUEST.format(path=GENERATE, length=len(body), body=body).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(64)
    (found,) = [line for line in head.decode().split("\r\n") if line.startswith("x-request-id: ")]
    return connection, found.removeprefix("x-request-id: ")


def takes_the_rest(connection: socket.socket) -> bool:
    """Whether a stalled client finds the end of its stream, once it reads on."""
    rest = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            rest += part
    return b"event: tie.error" in rest or b"event: tie.completed" in rest


async def keep_asking(client: httpx.AsyncClient, seed: int, seen: Seen) -> None:
    """One request after the other until the server takes no more."""
    chance = random.Random(seed)
    while True:
        body, transport = mixed_body(chance, f"{chance.randrange(10**12):012}")
        sent = time.monotonic()
        reply = await ask(client, body, transport)
        if reply.status is None:
            seen.unanswered.append(sent)
            return
        seen.replies.append(reply)
        if reply.status == 503:
            return


async def watch_the_drain(url: str, seen: Seen) -> None:
    """Probes and a new request on a new connection each, until nobody listens."""
    body, _ = mixed_body(random.Random(0), "0" * 12)
    with contextlib.suppress(httpx.TransportError):
        while True:
            async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:
                seen.ready.append((await client.get("/readyz")).status_code)
                seen.alive.append((await client.get("/livez")).status_code)
                if seen.ready[-1] == 503:
                    seen.refused.append(await client.post(GENERATE, json=body))
            await asyncio.sleep(0.02)


async def under_load(serving: Serving, seed: int, signals: tuple[float, ...], in_time: float) -> Seen:
    """Load, then the signals, so many seconds after each other; the server has `in_time` from the first one on."""
    seen = Seen()
    connections = []
    for _ in range(NUM_STALLED):
        connection, request_id = await asyncio.to_thread(stall, serving.url)
        connections.append(connection)
        seen.stalled.add(request_id)
    await asyncio.sleep(STALL_SECONDS)
    try:
        async with open_client(serving.url) as client:
            asking = [asyncio.create_task(keep_asking(client, seed * 100 + one, seen)) for one in range(NUM_CLIENTS)]
            first = None
            for seconds in signals:
                await asyncio.sleep(seconds)
                first = first or time.monotonic()
                serving.signal()
            assert first is not None
            await watch_the_drain(serving.url, seen)
            await asyncio.gather(*asking)
        seen.signalled = first
        seen.status = await asyncio.to_thread(serving.exit_status, first + in_time - time.monotonic())
        seen.seconds = time.monotonic() - first
        seen.num_cut = sum(not takes_the_rest(connection) for connection in connections)
        return seen
    finally:
        for connection in connections:
            connection.close()


def admitted(serving: Serving) -> dict[str, str]:
    """From the log: every request that had a place, and how it ended."""
    lines = [json.loads(line) for line in serving.log().splitlines() if line.startswith("{")]
    return {line["request_id"]: line["finish_reason"] for line in lines if "transport" in line}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sigterm_under_load_loses_no_request(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    slowest, total, refused, cut, stalled = 0.0, 0, 0, 0, 0
    for seed in range(num := numbers(2, 20)):
        chance = random.Random(seed)
        drain = chance.choice([0.3, 1.0, 4.0])
        settings = fake_settings(server=ServerSettings(drain_seconds=drain))
        with serving_process(settings, echoing, tmp_path / f"{seed}.log", seconds=0.002) as serving:
            seen = asyncio.run(under_load(serving, seed, (chance.uniform(0.3, 1.5),), drain + GRACE))

        ended = {reply.request_id for reply in seen.replies if reply.has_ended}
        finished = admitted(serving)
        assert seen.status == 0, serving.log()[-3000:]
        assert set(finished) - seen.stalled <= ended
        assert not [sent for sent in seen.unanswered if sent < seen.signalled]
        assert not [reply for reply in seen.replies if not reply.has_ended]
        assert {reply.result["error"]["code"] for reply in seen.replies if not reply.is_right} <= {"draining"}
        assert set(seen.alive) <= {200}
        assert seen.ready == sorted(seen.ready)
        assert all(response.status_code == 503 for response in seen.refused)
        assert all(response.json()["error"]["code"] == "draining" for response in seen.refused)
        assert all(int(response.headers["retry-after"]) >= 1 for response in seen.refused)
        assert "Traceback" not in serving.log()
        slowest = max(slowest, seen.seconds - drain)
        total += len(finished)
        refused += len(seen.refused)
        cut += sum(not reply.is_right for reply in seen.replies)
        stalled += seen.num_cut
    figure(
        f"SIGTERM under load: {num} times with {stalled} stalled clients, {total} admitted requests, none lost"
        f" ({cut} told to come back), {refused} refused meanwhile, exit 0 at most {slowest:+.1f} s after the drain"
    )
    assert refused > 0
    assert stalled > 0


def test_a_second_signal_hurries(tmp_path: Path, figure: Callable[[str], None]) -> None:
    settings = fake_settings(server=ServerSettings(drain_seconds=60))
    with serving_process(settings, echoing, tmp_path / "log", seconds=0.2) as serving:
        seen = asyncio.run(under_load(serving, 1, (1.0, 0.5), 2 * GRACE))

    figure(f"SIGTERM twice, with a minute to drain: exit after {seen.seconds:.1f} s")
    assert seen.status == 0, serving.log()[-3000:]
    assert seen.replies
    assert all(reply.has_ended for reply in seen.replies)
    assert {reply.result["error"]["code"] for reply in seen.replies if not reply.is_right} == {"draining"}


def test_a_member_that_hangs_does_not_hold_the_exit(tmp_path: Path) -> None:
    settings = fake_settings(server=ServerSettings(drain_seconds=0.5))
    with serving_process(settings, echoing, tmp_path / "log", seconds=0.0) as serving:
        with httpx.Client(base_url=serving.url, trust_env=False, timeout=30) as client:
            hanging = {"prompt": HANG, "stream": True}
            with client.stream("POST", GENERATE, json=hanging) as stream:
                lines = stream.iter_lines()
                next(lines)
                serving.signal()
                signalled = time.monotonic()
                rest = [*lines]
        status = serving.exit_status(signalled + 0.5 + GRACE - time.monotonic())

    assert status == 0, serving.log()[-3000:]
    assert '"code":"draining"' in rest[-2]


def test_neither_does_one_that_was_given_up(tmp_path: Path) -> None:
    """The workers whose lanes hang have been replaced, and the new ones end at once."""
    settings = fake_settings(server=ServerSettings(drain_seconds=0.5), limits=LimitSettings(stall_seconds=1.0))
    with serving_process(settings, echoing, tmp_path / "log", seconds=0.0) as serving:
        answer = httpx.post(f"{serving.url}{GENERATE}", json={"prompt": HANG}, timeout=60, trust_env=False)
        serving.signal()
        status = serving.exit_status(0.5 + GRACE)

    assert answer.json()["error"]["code"] == "no_member_left", answer.text
    assert status == 0, serving.log()[-3000:]
