"""The service over the embedded zoo: 64 requests at once, each as if it were alone, and probes on time meanwhile."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service.configuration import load_settings
from tests.reliability.members import zoo
from tests.reliability.probing import LATEST, probing
from tests.reliability.processes import serving_process
from tests.service.served import GENERATE
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED, grade

NUM_AT_ONCE = 64
NUM_RIGHT = 8
"""So many different items are asked at once: the first ones that are answered right alone."""
ITEMS = make_items(VALIDATION_SEED, 16)
BODIES = [
    {"messages": [{"role": "user", "content": item.prompt}], "unmasking": {"policy": policy}}
    for item, policy in zip(ITEMS, ("top_k", "threshold", "threshold", "threshold") * 4, strict=True)
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server in a process of its own, with the default configuration. Nothing holds its event loop."""
    with serving_process(load_settings(), zoo, tmp_path_factory.mktemp("zoo") / "log") as serving:
        with httpx.Client(base_url=serving.url, timeout=100, trust_env=False) as client:
            yield client
        serving.signal()
        assert serving.exit_status(30) == 0
    times = serving.loop_times()
    assert times.longest < LATEST, times.worst


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
    assert [model["family"] for model in events[0]["models"]] == ["llada", "dream", "a2d-qwen3"]
    assert events[-1]["type"] == "tie.completed"
    assert events[-1]["seq"] == len(events)
    assert events[-1]["answer"] == ITEMS[0].answer


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_64_requests_at_once_are_all_right_and_probes_are_on_time(
    client: httpx.Client, figure: Callable[[str], None]
) -> None:
    alone = [generate(client, body).json() for body in BODIES]
    right = [index for index, answer in enumerate(alone) if grade(ITEMS[index], answer["answer"])][:NUM_RIGHT]
    assert len(right) == NUM_RIGHT
    asked = right * (NUM_AT_ONCE // NUM_RIGHT)
    with probing(str(client.base_url)) as probes, ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        started = time.monotonic()
        answers = list(pool.map(lambda index: generate(client, BODIES[index]), asked))
        seconds = time.monotonic() - started

    figure(f"on the zoo: {NUM_AT_ONCE} requests at once, all right, in {seconds:.1f} s; {probes.words}")
    assert [answer.status_code for answer in answers] == [200] * NUM_AT_ONCE
    assert [result(answer.json()) for answer in answers] == [result(alone[index]) for index in asked]
    assert all(grade(ITEMS[index], answer.json()["answer"]) for index, answer in zip(asked, answers, strict=True))
    assert not probes.are_late(), probes.words
