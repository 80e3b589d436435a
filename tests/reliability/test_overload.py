"""Far more than fits, at once: exactly what fits is let in and answered right, the rest is told so, quickly."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest

from service.keys import add_key
from service.settings import AuthSettings, LimitSettings
from tests.reliability.bursting import Parts, bare_server, bursting
from tests.reliability.members import gated
from tests.reliability.probing import LATEST, probing
from tests.reliability.processes import CONTEXT, Serving, serving_process
from tests.service.fakes import FakeLoader, Faults, fake_settings
from tests.service.served import GENERATE, Served, serving, wait_until

CAP = 64
PROMPTS = [f"rev 31415{number}; inc 271828; add 141421" for number in range(8)]
HEAD = f"POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n{{more}}"


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


async def ask(url: httpx.URL, body: dict[str, Any], gate: asyncio.Event, more: str = "") -> Answer:
    """Connect, wait for the gate, ask."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    raw = json.dumps(body).encode()
    head = HEAD.format(more=more) + f"content-length: {len(raw)}\r\n\r\n"
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


def raw_request(prompt: str, *, in_two: bool) -> Parts:
    """Of a client that sends head and body in one call, or in two."""
    body = json.dumps({"prompt": prompt}).encode()
    head = (HEAD.format(more="") + f"content-length: {len(body)}\r\n\r\n").encode()
    return (head, body) if in_two else (head + body,)


def metric(served: Serving, sample: str) -> float:
    lines = [line for line in served.get("/metrics").text.splitlines() if line.startswith(f"{sample} ")]
    return float(lines[0].split()[1])


@pytest.mark.timeout(600)
def test_of_a_burst_exactly_what_fits_is_let_in(
    tmp_path: Path, figure: Callable[[str], None], numbers: Callable[[int, int], int]
) -> None:
    """And the rest knows it soon, as a client measures that has a process of its own. A machine that is so busy that
    the barest server would be late may take longer, and outside of full numbers a slow one too.
    """
    num_asked, num_bursts = 500, numbers(1, 5)
    requests = [raw_request(PROMPTS[number % len(PROMPTS)], in_two=number % 2 == 1) for number in range(num_asked)]
    limits = LimitSettings(max_running=32, max_waiting=CAP - 32, header_seconds=60)
    gate = CONTEXT.Event()
    gate.set()
    waits: list[float] = []
    bare_waits: list[float] = []
    with (
        serving_process(fake_settings(limits=limits), gated, tmp_path / "log", is_watched=False, gate=gate) as served,
        bare_server() as bare,
        bursting() as client,
        probing(served.url) as probes,
    ):
        alone = {
            prompt: httpx.post(f"{served.url}{GENERATE}", json={"prompt": prompt}, timeout=60, trust_env=False).json()
            for prompt in PROMPTS
        }
        for _ in range(num_bursts):
            bare_waits += [seconds for _, seconds in client.burst(bare, requests, num_asked, lambda: None)]
            gate.clear()
            answers = [Answer(*each) for each in client.burst(served.url, requests, num_asked - CAP, gate.set)]
            refused = [answer for answer in answers if answer.status == 503]
            waits += [answer.seconds for answer in refused]
            assert Counter(answer.status for answer in answers) == {200: CAP, 503: num_asked - CAP}
            assert all(answer.json()["error"]["code"] == "queue_full" for answer in refused)
            assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
            for number, answer in enumerate(answers):
                if answer.status == 200:
                    got, expected = answer.json(), alone[PROMPTS[number % len(PROMPTS)]]
                    assert (got["text"], got["tie"]) == (expected["text"], expected["tie"])
        num_refused = num_bursts * (num_asked - CAP)
        assert metric(served, 'tie_admission_rejections_total{reason="queue_full"}') == num_refused
    told = [line for line in served.log().splitlines() if '"queue_full"' in line]
    figure(
        f"overload: {num_bursts} x {num_asked} at once, {CAP} of each answered right, {num_asked - CAP} refused, p50"
        f" {median(waits) * 1000:.1f} ms, p99 {p99(waits) * 1000:.1f} ms from a request to the first byte of its"
        f" refusal, as its client saw it (a bare asyncio protocol: p99 {p99(bare_waits) * 1000:.1f} ms); beside them"
        f" {probes.words}"
    )
    assert len({json.loads(line)["request_id"] for line in told}) == len(told) == num_refused
    assert p99(waits) < max(0.05, numbers(8, 3) * p99(bare_waits))
    assert not probes.are_late(LATEST * numbers(5, 1)), probes.words


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
