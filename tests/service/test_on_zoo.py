"""The service over the embedded zoo: 64 requests at once, each as if it were alone, and probes on time meanwhile."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.served import GENERATE, wait_until
from tie_core.zoo.task import VALIDATION_SEED, grade, make_items

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import sys
from service.server import serve
from service.configuration import load_settings
sys.exit(serve(load_settings(port=0), announce=lambda url: print(url, flush=True)))
"""
NUM_AT_ONCE = 64
LATEST_PROBE = 0.050  # seconds, the 99th of a hundred
NUM_RIGHT = 8
"""So many different items are asked at once: the first ones that are answered right alone."""
ITEMS = make_items(VALIDATION_SEED, 16)
BODIES = [
    {"messages": [{"role": "user", "content": item.prompt}], "unmasking": {"policy": policy}}
    for item, policy in zip(ITEMS, ("top_k", "threshold", "threshold", "threshold") * 4, strict=True)
]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server in a process of its own, as `tie serve` without configuration starts it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        with httpx.Client(base_url=process.stdout.readline().strip(), timeout=100) as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, 60)
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.stdout.close()


def generate(client: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    return client.post(GENERATE, json=body)


def result(answer: dict[str, Any]) -> tuple[Any, ...]:
    tie = answer["tie"]
    return answer["text"], answer["finish_reason"], tie["rounds"], tie["wins"], tie["scores"], tie["final_model"]


def test_the_default_configuration_answers(client: httpx.Client) -> None:
    body = {**BODIES[0], "events": "step"}
    text = client.post(GENERATE, json=body, headers={"accept": "application/x-ndjson"}).text

    events = [json.loads(line) for line in text.splitlines()]
    assert events[0]["canvas"]["reasoning"] == 24
    assert events[0]["options"]["interval"] == 8
    assert [model["family"] for model in events[0]["models"]] == ["llada", "dream"]
    assert events[-1]["type"] == "tie.completed"
    assert events[-1]["seq"] == len(events)
    assert events[-1]["answer"] == ITEMS[0].answer


class Probing(threading.Thread):
    """Asks /livez every few milliseconds on a connection of its own."""

    def __init__(self, url: httpx.URL) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._client = httpx.Client(base_url=url)
        self._is_over = threading.Event()

    def run(self) -> None:
        with self._client:
            while not self._is_over.wait(0.005):
                started = time.monotonic()
                assert self._client.get("/livez").status_code == 200
                self.seconds.append(time.monotonic() - started)

    def stop(self) -> list[float]:
        self._is_over.set()
        self.join()
        return sorted(self.seconds)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_64_requests_at_once_are_all_right_and_probes_are_on_time(
    client: httpx.Client, figure: Callable[[str], None]
) -> None:
    alone = [generate(client, body).json() for body in BODIES]
    right = [index for index, answer in enumerate(alone) if grade(ITEMS[index], answer["answer"])][:NUM_RIGHT]
    assert len(right) == NUM_RIGHT
    asked = right * (NUM_AT_ONCE // NUM_RIGHT)
    probing = Probing(client.base_url)
    probing.start()
    started = time.monotonic()
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        answers = list(pool.map(lambda index: generate(client, BODIES[index]), asked))
    seconds = time.monotonic() - started
    probes = probing.stop()

    p50, p99 = probes[len(probes) // 2], probes[int(len(probes) * 0.99)]
    figure(
        f"on the zoo: {NUM_AT_ONCE} requests at once, all right, in {seconds:.1f} s; /livez of {len(probes)} probes: "
        f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, latest {probes[-1] * 1000:.1f} ms"
    )
    assert [answer.status_code for answer in answers] == [200] * NUM_AT_ONCE
    assert [result(answer.json()) for answer in answers] == [result(alone[index]) for index in asked]
    assert all(grade(ITEMS[index], answer.json()["answer"]) for index, answer in zip(asked, answers, strict=True))
    assert p99 < LATEST_PROBE
