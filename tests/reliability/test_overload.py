"""Far more than fits, at once: exactly what fits is let in and answered right, the rest is told so, quickly."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from service.keys import add_key
from service.settings import AuthSettings, LimitSettings
from tests.service.fakes import FakeLoader, Faults, fake_settings
from tests.service.served import GENERATE, Served, serving, wait_until

CAP = 64
PROMPTS = [f"rev 31415{number}; inc 271828; add 141421" for number in range(8)]
ASK = f"POST {GENERATE}"
HEAD = "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n{more}"


class Answer:
    """What came back, and how long after the request was sent."""

    def __init__(self, raw: bytes, seconds: float) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        lines = head.decode().lower().split("\r\n")[1:]
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.seconds = seconds

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(url: httpx.URL, body: dict[str, Any], gate: asyncio.Event, more: str = "", line: str = ASK) -> Answer:
    """Connect, wait for the gate, ask."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    raw = json.dumps(body).encode()
    head = HEAD.format(line=line, more=more) + f"content-length: {len(raw)}\r\n\r\n"
    await gate.wait()
    started = time.monotonic()
    writer.write(head.encode() + raw)
    answer = await reader.read()
    writer.close()
    return Answer(answer, time.monotonic() - started)


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition, 60)


def num_admitted(served: Served) -> int:
    """Requests that are past the tokenisers."""
    return len(served.service.runs) - served.service.runs.num_preparing


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def test_of_a_burst_exactly_what_fits_is_let_in(figure: Callable[[str], None]) -> None:
    """And a refusal takes little longer than the simplest answer does in a burst of as many requests."""
    num_asked = 500
    loader = FakeLoader()
    limits = LimitSettings(max_running=32, max_waiting=CAP - 32, header_seconds=60)
    with serving(fake_settings(limits=limits), loader) as served:
        alone = {prompt: served.post({"prompt": prompt}).json() for prompt in PROMPTS}

        async def burst(line: str, num_done: int) -> list[Answer]:
            """All at the same moment; once so many have an answer, the members go on."""
            gate, url = asyncio.Event(), served.client.base_url
            asked = [
                asyncio.create_task(ask(url, {"prompt": PROMPTS[number % len(PROMPTS)]}, gate, line=line))
                for number in range(num_asked)
            ]
            await until(lambda: len(served.server.server_state.connections) >= num_asked)
            gate.set()
            await until(lambda: sum(task.done() for task in asked) >= num_done)
            loader.faults.gate.set()
            return await asyncio.gather(*asked)

        asyncio.run(asyncio.wait_for(burst("GET /version", num_asked), 100))
        wait_until(lambda: sum(line.get("route") == "/version" for line in served.lines) == num_asked)
        simplest = [line["duration_ms"] for line in served.lines if line.get("route") == "/version"]
        wait_until(lambda: len(served.server.server_state.connections) <= 1)  # this test's own
        loader.faults.gate.clear()
        answers = asyncio.run(asyncio.wait_for(burst(ASK, num_asked - CAP), 100))
        wait_until(lambda: sum(line.get("error") == "queue_full" for line in served.lines) == num_asked - CAP)
        told = [line["duration_ms"] for line in served.lines if line.get("error") == "queue_full"]

        statuses = Counter(answer.status for answer in answers)
        refused = [answer for answer in answers if answer.status == 503]
        figure(
            f"overload: {num_asked} at once, {statuses[200]} answered right, {statuses[503]} refused,"
            f" p99 {p99(told):.1f} ms from the server's first byte of a request to its refusal"
            f" (GET /version in such a burst: p99 {p99(simplest):.1f} ms); as the one client thread saw it the last"
            f" refusal came after {max(each.seconds for each in refused) * 1000:.0f} ms"
        )
        assert p99(told) < 50 + 3 * p99(simplest)
        assert statuses == {200: CAP, 503: num_asked - CAP}
        assert all(answer.json()["error"]["code"] == "queue_full" for answer in refused)
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
        assert served.metric("tie_admission_rejections_total", reason="queue_full") == num_asked - CAP
        for number, answer in enumerate(answers):
            if answer.status == 200:
                got, expected = answer.json(), alone[PROMPTS[number % len(PROMPTS)]]
                assert (got["text"], got["tie"]) == (expected["text"], expected["tie"])
        wait_until(lambda: len(served.service.runs) == 0)


def timed(served: Served) -> float:
    started = time.monotonic()
    served.client.get("/livez")
    return time.monotonic() - started


def test_a_refusal_is_quick(numbers: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    loader = FakeLoader()
    with serving(fake_settings(limits=LimitSettings(max_running=1, max_waiting=1)), loader) as served:
        loader.faults.gate.clear()

        async def full() -> list[float]:
            gate, url = asyncio.Event(), served.client.base_url
            gate.set()
            kept = [asyncio.create_task(ask(url, {"prompt": PROMPTS[0]}, gate)) for _ in range(2)]
            await until(lambda: num_admitted(served) == 2)
            refusals = [await ask(url, {"prompt": PROMPTS[0]}, gate) for _ in range(numbers(100, 1_000))]
            loader.faults.gate.set()
            await asyncio.gather(*kept)
            assert {each.status for each in refusals} == {503}
            return [each.seconds for each in refusals]

        seconds = asyncio.run(asyncio.wait_for(full(), 100))
        beside = [timed(served) for _ in range(100)]

    figure(f"overload: a refusal takes p99 {p99(seconds) * 1000:.1f} ms, /livez p99 {p99(beside) * 1000:.1f} ms")
    assert p99(seconds) < max(0.05, 5 * p99(beside))


def test_a_key_that_floods_does_not_hold_back_another(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    """One place: after the one that runs, the other key is next, or next but one."""
    file, loader = tmp_path / "keys.toml", FakeLoader(Faults(seconds=0.002))
    flood, other = (f"authorization: Bearer {add_key(file, name)}\r\n" for name in ("flood", "other"))
    limits = LimitSettings(max_running=1, max_waiting=200)
    ended: list[str] = []
    num_flood = numbers(30, 100)
    with serving(fake_settings(limits=limits, auth=AuthSettings(keys_file=file)), loader) as served:
        loader.faults.gate.clear()

        async def asking(name: str, number: int, more: str) -> Answer:
            gate = asyncio.Event()
            gate.set()
            answer = await ask(served.client.base_url, {"prompt": PROMPTS[number % 8]}, gate, more)
            ended.append(name)
            return answer

        async def both() -> list[Answer]:
            asked = [asyncio.create_task(asking("flood", number, flood)) for number in range(num_flood)]
            await until(lambda: num_admitted(served) == num_flood)
            asked += [asyncio.create_task(asking("other", number, other)) for number in range(3)]
            await until(lambda: num_admitted(served) == num_flood + 3)
            loader.faults.gate.set()
            return await asyncio.gather(*asked)

        answers = asyncio.run(asyncio.wait_for(both(), 110))

    places = [place for place, name in enumerate(ended, 1) if name == "other"]
    figure(f"fairness between keys: behind {num_flood} of another key, three requests ended as numbers {places}")
    assert {answer.status for answer in answers} == {200}
    assert all(place <= 2 * number + 2 for number, place in enumerate(places, 1))


def test_keys_that_flood_leave_places_for_others(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Of 22 places the last 4 are for keys that hold few, however many keys flood."""
    file, loader = tmp_path / "keys.toml", FakeLoader()
    keys = {name: {"authorization": f"Bearer {add_key(file, name)}"} for name in ("flood", "other", "late", "later")}
    limits = LimitSettings(max_running=2, max_waiting=20, waiting_reserve=0.2)
    sent: list[tuple[str, Future[httpx.Response]]] = []
    with (
        serving(fake_settings(limits=limits, auth=AuthSettings(keys_file=file)), loader) as served,
        ThreadPoolExecutor(40) as pool,
    ):
        loader.faults.gate.clear()
        try:
            for name, number in (("flood", 17), ("other", 8), ("flood", 3), ("late", 1), ("later", 1), ("late", 1)):
                for _ in range(number):
                    sent.append((name, pool.submit(served.post, {"prompt": PROMPTS[0]}, headers=keys[name])))
                wait_until(lambda: num_admitted(served) + sum(each.done() for _, each in sent) == len(sent), 60)
        finally:
            loader.faults.gate.set()
        answers = [(name, each.result()) for name, each in sent]

    counts = Counter((name, answer.status_code) for name, answer in answers)
    of_each = ", ".join(f"{name} {counts[name, 200]} of {counts[name, 200] + counts[name, 503]}" for name in keys)
    figure(f"fairness between keys: 22 places, 4 of them in reserve: {of_each} let in")
    assert counts == {
        ("flood", 200): 17,
        ("flood", 503): 3,
        ("other", 200): 2,
        ("other", 503): 6,
        ("late", 200): 1,
        ("late", 503): 1,
        ("later", 200): 1,
    }
    refused = [answer for _, answer in answers if answer.status_code == 503]
    assert all("hold fewer than" in answer.json()["error"]["message"] for answer in refused)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
