"""More than fits, clients that leave, and the end of the server: nothing is lost, nothing is left."""

import asyncio
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from service.settings import LimitSettings, ServerSettings
from tests.reliability.members import echoing
from tests.reliability.processes import serving_process
from tests.service.fakes import FakeLoader, Faults, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, serving, wait_until

ROOT = Path(__file__).resolve().parents[2]
NUM_LEAVING = 200
NDJSON = {"accept": "application/x-ndjson"}


def is_empty(served: Served) -> bool:
    loaded = served.service.lifecycle.loaded
    assert loaded is not None
    engine = loaded.engine
    return (len(served.service.runs), engine.num_running, engine.num_waiting, engine.num_rows) == (0, 0, 0, 0)


@contextmanager
def closed_gate(loader: FakeLoader) -> Iterator[None]:
    loader.faults.gate.clear()
    try:
        yield
    finally:
        loader.faults.gate.set()


def test_what_does_not_fit_is_refused_with_a_time_to_come_back() -> None:
    loader, limits = FakeLoader(), LimitSettings(max_running=2, max_waiting=2)
    with serving(fake_settings(limits=limits), loader) as served, ThreadPoolExecutor(12) as pool:
        with closed_gate(loader):
            answers = [pool.submit(served.post, {"prompt": PROMPT}) for _ in range(4)]
            wait_until(lambda: len(served.service.runs) == 4 and served.service.runs.num_preparing == 0)
            refused = [served.post({"prompt": PROMPT}) for _ in range(8)]
        admitted = [answer.result() for answer in answers]

        assert [response.status_code for response in admitted] == [200] * 4
        assert [response.status_code for response in refused] == [503] * 8
        assert all(response.json()["error"]["code"] == "queue_full" for response in refused)
        assert all(1 <= int(response.headers["retry-after"]) <= 60 for response in refused)
        assert served.metric("tie_admission_rejections_total", reason="queue_full") == 8


def test_while_loading_probes_answer_and_requests_are_refused() -> None:
    loader = FakeLoader()
    loader.gate.clear()
    with serving(fake_settings(), loader, until_ready=False) as served:
        alive, ready = served.client.get("/livez"), served.client.get("/readyz")
        refused, models = served.post({"prompt": PROMPT}), served.client.get("/v1/models")
        loader.gate.set()

        assert alive.status_code == 200
        for response in (ready, refused, models):
            assert (response.status_code, response.json()["error"]["code"]) == (503, "loading")
            assert int(response.headers["retry-after"]) >= 1
        wait_until(lambda: served.client.get("/readyz").status_code == 200)


def test_a_thread_that_stops_beating_makes_the_server_not_ready() -> None:
    loader, server = FakeLoader(), ServerSettings(stale_after_seconds=1.5)
    with serving(fake_settings(server=server), loader) as served, ThreadPoolExecutor(1) as pool:
        with closed_gate(loader):
            answer = pool.submit(served.post, {"prompt": PROMPT})
            wait_until(lambda: served.client.get("/readyz").status_code == 503)
            error, ready = served.client.get("/readyz").json()["error"], served.metric("tie_ready")
        answer.result()

        assert (error["code"], ready) == ("stalled", 0)
        assert "zoo-" in error["message"]
        wait_until(lambda: served.client.get("/readyz").status_code == 200)


def test_a_failed_start_ends_the_server() -> None:
    with serving(fake_settings(), FakeLoader(error=RuntimeError("no such folder")), until_ready=False) as served:
        wait_until(lambda: served.service.lifecycle.phase == "failed")
        wait_until(lambda: not any(thread.name == "tie-test-server" for thread in threading.enumerate()))


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "application/x-ndjson"])
def test_a_client_that_leaves_frees_its_rows(accept: str) -> None:
    loader = FakeLoader(Faults(seconds=0.05))
    with serving(fake_settings(), loader) as served, httpx.Client(base_url=served.url) as leaving:
        with (
            suppress(httpx.ReadTimeout),
            leaving.stream("POST", GENERATE, json={"prompt": PROMPT}, timeout=0.4, headers={"accept": accept}) as part,
        ):
            next(part.iter_raw())

        wait_until(lambda: is_empty(served), 5)
        assert served.metric("tie_request_cancellations_total", cause="disconnect", phase="running") == 1
        wait_until(lambda: served.lines[-1].get("finish_reason") == "cancelled")


async def leave_early(url: httpx.URL, seed: int) -> None:
    """Send a request, read for a moment or not at all, and cut the connection, by a close or by a reset."""
    chance = random.Random(seed)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    accept = chance.choice(["application/json", "text/event-stream", "application/x-ndjson"])
    body = b'{"prompt": "rev 314159", "events": "%s"}' % chance.choice([b"round", b"step", b"snapshot"])
    head = f"POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    writer.write(request[: chance.randrange(len(request))] if chance.random() < 0.1 else request)
    await writer.drain()
    try:
        async with asyncio.timeout(chance.uniform(0, 0.6)):
            while await reader.read(200):
                pass
    except TimeoutError:
        pass
    if chance.random() < 0.5:
        linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()


def num_tasks(served: Served) -> int:
    """Tasks of the server's loop, asked in the loop."""
    loop = served.service.lifecycle.loop
    return asyncio.run_coroutine_threadsafe(_count_tasks(), loop).result(10)


async def _count_tasks() -> int:
    return len(asyncio.all_tasks())


@pytest.mark.slow
def test_clients_that_leave_at_random_leave_nothing_behind(figure: Callable[[str], None]) -> None:
    loader = FakeLoader(Faults(seconds=0.005))
    with serving(fake_settings(), loader) as served:
        served.events({"prompt": PROMPT})
        served.client.close()
        wait_until(lambda: not served.server.server_state.connections)
        tasks_before = num_tasks(served)

        async def all_leave() -> None:
            limit = asyncio.Semaphore(40)

            async def one(seed: int) -> None:
                async with limit:
                    await leave_early(httpx.URL(served.url), seed)

            await asyncio.gather(*(one(seed) for seed in range(NUM_LEAVING)))

        asyncio.run(all_leave())
        left = time.monotonic()
        wait_until(lambda: is_empty(served), 10)
        wait_until(lambda: not served.server.server_state.connections, 10)
        wait_until(lambda: num_tasks(served) <= tasks_before, 10)
        seconds = time.monotonic() - left

        cancelled = sum(
            served.metric("tie_request_cancellations_total", cause="disconnect", phase=phase)
            for phase in ("queued", "running")
        )
        figure(
            f"leaving: {NUM_LEAVING} disconnects, {cancelled:.0f} cancelled runs,"
            f" all free after {seconds * 1000:.0f} ms"
        )
        assert cancelled > NUM_LEAVING / 4
        assert served.metric("tie_sse_streams_open", endpoint=GENERATE) == 0
        assert served.metric("tie_requests_running", ensemble="tie") == 0
        assert served.metric("tie_requests_waiting", ensemble="tie") == 0
        assert not [line for line in served.lines if line["event"] == "exception"]


def test_a_drain_lets_running_requests_finish_and_takes_no_new_ones() -> None:
    loader = FakeLoader(Faults(seconds=0.03))
    with serving(fake_settings(), loader) as served, ThreadPoolExecutor(2) as pool:
        answer = pool.submit(served.post, {"prompt": PROMPT})
        wait_until(lambda: served.metric("tie_requests_running", ensemble="tie") == 1)
        served.server.num_signals += 1
        wait_until(lambda: served.service.lifecycle.phase == "draining")
        ready, refused = served.client.get("/readyz"), served.post({"prompt": PROMPT})

        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "draining")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert answer.result().status_code == 200
        wait_until(lambda: served.service.lifecycle.phase == "stopped")


def test_what_outlasts_the_drain_gets_a_terminal_event() -> None:
    loader, server = FakeLoader(Faults(seconds=0.2)), ServerSettings(drain_seconds=0.3)
    with serving(fake_settings(server=server), loader) as served, ThreadPoolExecutor(2) as pool:
        stream = pool.submit(served.events, {"prompt": PROMPT})
        answer = pool.submit(served.post, {"prompt": PROMPT})
        wait_until(lambda: served.metric("tie_requests_running", ensemble="tie") == 2)
        served.server.num_signals += 1

        *_, last = stream.result()
        error = last["error"]
        assert (last["type"], last["retryable"], error["code"]) == ("tie.error", True, "draining")
        assert (answer.result().status_code, answer.result().json()["error"]) == (503, error)
        assert answer.result().headers["retry-after"] == "1"
        assert served.metric("tie_request_cancellations_total", cause="shutdown", phase="running") == 2


def test_whoever_stops_the_server_reads_how_long_it_takes_and_how_to_end_it_at_once() -> None:
    loader, server = FakeLoader(Faults(seconds=0.05)), ServerSettings(drain_seconds=3600)
    with serving(fake_settings(server=server), loader) as served, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.post, {"prompt": PROMPT})
        wait_until(lambda: served.metric("tie_requests_running", ensemble="tie") == 1)
        served.server.num_signals += 1
        wait_until(lambda: served.lines[-1]["event"] == "draining")
        draining = served.lines[-1]
        served.server.num_signals += 1
        assert answer.result().status_code == 503
        wait_until(lambda: served.service.lifecycle.phase == "stopped")

    assert draining["requests"] == 1
    assert draining["note"].startswith("what runs has at most 3600 s to end; a second Ctrl-C")
    (cancelling,) = [line for line in served.lines if line["event"] == "cancelling"]
    assert cancelling["requests"] == 1


def test_sigterm_ends_the_process_in_order(tmp_path: Path) -> None:
    settings = fake_settings(server=ServerSettings(drain_seconds=5))
    with serving_process(settings, echoing, tmp_path / "log", seconds=0.01) as process:
        with httpx.Client(base_url=process.url, timeout=30, trust_env=False) as client, ThreadPoolExecutor(8) as pool:
            streams = [pool.submit(client.post, GENERATE, json={"prompt": PROMPT}, headers=NDJSON) for _ in range(8)]
            wait_until(lambda: 'running{ensemble="tie"} 8.0' in client.get("/metrics").text)
            process.signal()
            bodies = [stream.result().text for stream in streams]
        status = process.exit_status(15)

    assert status == 0, process.log()
    assert all('"tie.completed"' in body.splitlines()[-1] for body in bodies)
    assert "Traceback" not in process.log()
    assert process.log().count('"event": "stopped"') == 1
