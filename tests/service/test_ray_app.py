"""Two replicas on Ray Serve, as their clients see them: the answers of a lone server, a death under load, a drain."""

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from service.configuration import load_settings
from service.loading import load
from tests.reliability.asking import Reply, ask, lasting, open_client
from tests.service.served import GENERATE, serving, wait_until
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NUM_STREAMS = 50
NUM_LONG = 6  # streams for each replica, and as many JSON answers, when it is killed or stopped
SCRIPT = Path(__file__).with_name("ray_cluster.py")
REPLICA = "ray::ServeReplica:tie:tie"  # a process's title while its replica is ready and idle
LONG = {"unmasking": {"policy": "top_k"}}
SHORT = {"unmasking": {"policy": "threshold"}}
BODIES = [{"messages": [{"role": "user", "content": item.prompt}]} for item in make_items(VALIDATION_SEED, NUM_STREAMS)]


@dataclass
class Cluster:
    """A Ray with two replicas, seen from outside."""

    url: str
    process: subprocess.Popen[str]
    client: httpx.Client
    is_deployed: bool = False
    sessions: tuple[str, ...] = ()

    def say(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        self.is_deployed = words == "run"

    def replicas(self, *, busy: bool = False) -> list[int]:
        titles = {pid: _read(f"/proc/{pid}/cmdline").rstrip("\0 ") for pid in self.processes()}
        return [pid for pid, title in titles.items() if title == REPLICA or (busy and title.startswith(REPLICA))]

    def processes(self) -> list[int]:
        """Of Ray, without the one that was started here."""
        parents = {int(path.name): _parent(path) for path in Path("/proc").glob("[0-9]*")}
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]

    def is_ready(self) -> bool:
        assert self.process.poll() is None
        return _status(self.client, "/readyz") == 200 and self._find_sessions()

    def _find_sessions(self) -> bool:
        """One session of each replica; neither knows what the other one took."""
        session = secrets.token_hex(8)
        run = self.client.post(GENERATE, json=BODIES[0] | SHORT, headers=within(session)).json()["id"]
        others = [secrets.token_hex(8) for _ in range(32)]
        found = {
            each: self.client.get(f"/v1/tie/requests/{run}", headers=within(each)).status_code
            for each in (*others, session)
        }
        apart = [each for each in others if found[each] == 404]
        self.sessions = (session, apart[0]) if apart else ()
        return bool(apart) and found[session] == 200


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _parent(path: Path) -> int | None:
    fields = _read(f"{path}/stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else None


def _status(client: httpx.Client, path: str) -> int | None:
    try:
        return client.get(path).status_code
    except httpx.HTTPError:
        return None


def within(session: str | None) -> dict[str, str]:
    return {"x-session-id": session} if session else {}


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Cluster]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {
        "TIE_SERVER__ALLOW_PUBLIC": "true",
        "TIE_SERVER__DRAIN_SECONDS": "200",
        "TIE_RAY__MIN_REPLICAS": "2",
        "TIE_RAY__MAX_REPLICAS": "2",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "90",
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    with tempfile.TemporaryDirectory(prefix="tie-ray-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        with (
            log.open("w") as output,
            subprocess.Popen(
                [sys.executable, str(SCRIPT), str(port), folder],
                env=os.environ | variables,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
        ):
            cluster = Cluster(str(client.base_url), process, client)
            yield cluster
            started = cluster.processes()
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 0, log.read_text(encoding="utf-8")[-5_000:]
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))


@pytest.fixture
def cluster(ray_cluster: Cluster) -> Cluster:
    """With both replicas ready, whatever an earlier test did to them."""
    if not ray_cluster.is_deployed:
        ray_cluster.say("run")
    wait_until(ray_cluster.is_ready, 200)
    return ray_cluster


def answers(url: str, bodies: list[dict[str, Any]], transport: str = "sse") -> list[Reply]:
    """Of so many clients at once."""

    async def all_at_once() -> list[Reply]:
        async with open_client(url) as client:
            return await asyncio.gather(*(ask(client, body, transport) for body in bodies))

    return asyncio.run(all_at_once())


def by_replica(cluster: Cluster, family: str) -> dict[str, float]:
    """The sum of a family's samples for each replica."""
    sums: dict[str, float] = {}
    for found in re.finditer(
        rf'^{family}{{replica="(\w+)".*}} (\S+)$', cluster.client.get("/metrics").text, re.MULTILINE
    ):
        sums[found[1]] = sums.get(found[1], 0.0) + float(found[2])
    return sums


def test_fifty_streams_at_once_are_those_of_a_lone_server(cluster: Cluster) -> None:
    bodies = [body | SHORT for body in BODIES]
    before = by_replica(cluster, "tie_requests_total")

    streams = answers(cluster.url, bodies)

    after = by_replica(cluster, "tie_requests_total")
    shares = [after[replica] - before[replica] for replica in before]
    with serving(load_settings(), load) as lone:
        expected = answers(lone.url, bodies)
    assert all(reply.is_right for reply in expected)
    assert [lasting(reply.result) for reply in streams] == [lasting(reply.result) for reply in expected]
    assert sum(shares) == NUM_STREAMS
    assert len(shares) == 2
    assert min(shares) > 0


def test_a_stream_arrives_piece_by_piece(cluster: Cluster) -> None:
    session, _ = cluster.sessions
    body = BODIES[0] | LONG | {"stream": True, "events": "step"}

    with cluster.client.stream("POST", GENERATE, json=body, headers=within(session)) as response:
        parts = response.iter_text()
        first = next(parts)
        run = json.loads(re.search(r"^data: (.+)$", first, re.MULTILINE)[1])["id"]
        meanwhile = cluster.client.get(f"/v1/tie/requests/{run}", headers=within(session)).json()["state"]
        rest = list(parts)

    assert meanwhile in ("queued", "running")
    assert "tie.completed" in rest[-1]
    assert len(rest) > 1


def test_who_comes_back_within_a_session_finds_the_run(cluster: Cluster) -> None:
    session, other = cluster.sessions
    headers = within(session) | {"idempotency-key": secrets.token_hex(8)}

    first = cluster.client.post(GENERATE, json=BODIES[1] | SHORT, headers=headers)
    again = cluster.client.post(GENERATE, json=BODIES[1] | SHORT, headers=headers)
    events = [
        cluster.client.get(f"/v1/tie/requests/{first.json()['id']}/events", headers=within(each))
        for each in (session, other, None)
    ]

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert [response.status_code for response in events] == [200, 404, 400]
    assert "tie.completed" in events[0].text
    assert events[2].json()["error"]["code"] == "session_required"


def test_a_client_that_leaves_takes_its_run_with_it(cluster: Cluster) -> None:
    session, _ = cluster.sessions

    with cluster.client.stream(
        "POST", GENERATE, json=BODIES[0] | LONG | {"stream": True}, headers=within(session)
    ) as it:
        first = next(it.iter_text())
    run = json.loads(re.search(r"^data: (.+)$", first, re.MULTILINE)[1])["id"]

    def state() -> str:
        return str(cluster.client.get(f"/v1/tie/requests/{run}", headers=within(session)).json()["state"])

    wait_until(lambda: state() == "cancelled")


def test_a_replica_that_dies_takes_its_own_requests_alone_and_each_may_be_sent_again(cluster: Cluster) -> None:
    sessions = cluster.sessions

    replies, patient = asyncio.run(
        under_load(cluster, sessions, lambda: os.kill(cluster.replicas(busy=True)[0], signal.SIGKILL))
    )

    (doomed,) = [session for session in sessions if not any(reply.is_right for reply in replies[session])]
    assert [len(replies[session]) for session in sessions] == [2 * NUM_LONG, 2 * NUM_LONG]
    assert all(reply.is_right for session in sessions if session != doomed for reply in replies[session])
    assert all(reply.was_cut or reply.status == 500 for reply in replies[doomed])
    assert not any("x-should-retry" in reply.headers for reply in replies[doomed])
    assert all(choice.finish_reason for choice in patient)
    again = answers(cluster.url, [body | LONG for body in BODIES[:NUM_LONG]])
    spared = next(replies[session] for session in sessions if session != doomed)
    assert [lasting(reply.result) for reply in again] == [lasting(reply.result) for reply in spared[:NUM_LONG]]


def test_a_replica_that_is_told_to_stop_answers_first_what_it_has(cluster: Cluster) -> None:
    replies, _ = asyncio.run(under_load(cluster, cluster.sessions, lambda: cluster.say("delete")))

    assert all(reply.is_right for of_session in replies.values() for reply in of_session)
    wait_until(lambda: cluster.replicas(busy=True) == [], 60)


def all_run(cluster: Cluster) -> bool:
    return set(by_replica(cluster, "tie_requests_running").values()) == {2.0 * NUM_LONG + 1}


async def under_load(
    cluster: Cluster, sessions: tuple[str, ...], strike: Callable[[], None]
) -> tuple[dict[str, list[Reply]], list[Any]]:
    """For each session streams, then JSON answers; `strike` comes when all of them run.

    And for each an answer for OpenAI's own client, which sends a request again by itself where it may.
    """
    bodies = [body | LONG for body in BODIES[:NUM_LONG]]
    async with AsyncExitStack() as stack:
        replies, patient = {}, []
        for session in sessions:
            client = await stack.enter_async_context(open_client(cluster.url))
            client.headers.update(within(session))
            asked = [ask(client, body, transport) for transport in ("sse", "json") for body in bodies]
            replies[session] = asyncio.gather(*asked)
            openai = await stack.enter_async_context(
                AsyncOpenAI(base_url=f"{cluster.url}/v1", api_key="-", max_retries=8, default_headers=within(session))
            )
            patient.append(
                asyncio.create_task(
                    openai.chat.completions.create(model="tie", messages=bodies[0]["messages"], extra_body=LONG)
                )
            )
        await asyncio.to_thread(wait_until, lambda: all_run(cluster))
        strike()
        return {session: await of_session for session, of_session in replies.items()}, [
            (await each).choices[0] for each in patient
        ]
