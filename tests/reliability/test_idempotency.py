"""The same key and the same body are one run, whoever sends them and when; and a request is over by its deadline."""

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service.settings import LimitSettings
from tests.service.fakes import POISON, FakeLoader, Faults, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, serving, wait_until
from tests.service.test_requests import NDJSON, REQUESTS, held_up, live_ids, state_of

NUM_EQUAL = 50
KEY = {"idempotency-key": "k-1"}
STEP = 0.02


@pytest.fixture(scope="module")
def slow() -> Iterator[Served]:
    with serving(fake_settings(limits=LimitSettings(max_running=1)), FakeLoader(Faults(seconds=STEP))) as served:
        yield served


def num_runs(served: Served) -> float:
    reasons = ("length", "stop", "deadline", "error", "cancelled")
    return sum(
        served.metric("tie_requests_total", ensemble="tie", endpoint=GENERATE, finish_reason=reason)
        for reason in reasons
    )


def without_time(response: httpx.Response) -> Any:
    return response.json() if response.headers["content-type"] == "application/json" else response.text


def test_equal_requests_at_once_are_one_run(figure: Any) -> None:
    body = {"prompt": PROMPT}
    with held_up() as (served, faults), ThreadPoolExecutor(NUM_EQUAL) as pool:
        with httpx.Client(base_url=served.url, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
            asked = [
                pool.submit(client.post, GENERATE, json=body, headers=KEY | (NDJSON if number % 2 else {}))
                for number in range(NUM_EQUAL)
            ]
            wait_until(lambda: served.metric("tie_sse_streams_open", endpoint=GENERATE) == NUM_EQUAL // 2)
            num_live = len(live_ids(served))
            faults.gate.set()
            responses = [one.result() for one in asked]

        answers = [response.json() for response in responses if "ndjson" not in response.headers["content-type"]]
        streams = [response.text for response in responses if "ndjson" in response.headers["content-type"]]
        last = json.loads(streams[0].splitlines()[-1])
        replays = [response.headers.get("idempotent-replayed") for response in responses]
        figure(f"idempotency: {NUM_EQUAL} equal requests at once, {num_runs(served):.0f} run")
        assert [response.status_code for response in responses] == [200] * NUM_EQUAL
        assert (num_live, num_runs(served)) == (1, 1)
        assert all(answer == answers[0] for answer in answers)
        assert all(stream == streams[0] for stream in streams)
        assert {name: last[name] for name in answers[0]} == answers[0]
        assert (replays.count(None), replays.count("true")) == (1, NUM_EQUAL - 1)


def test_a_key_gives_the_same_answer_later_in_any_transport() -> None:
    with serving(fake_settings(), FakeLoader()) as served:
        answer = served.post({"prompt": PROMPT}, headers=KEY)
        again = served.post({"prompt": PROMPT}, headers=KEY)
        stream = served.post({"prompt": PROMPT}, headers=KEY | NDJSON)

        events = [json.loads(line) for line in stream.text.splitlines()]
        assert answer.json() == again.json()
        assert (events[0]["type"], events[0]["seq"], events[-1]["id"]) == ("tie.created", 1, answer.json()["id"])
        assert [one.headers.get("idempotent-replayed") for one in (answer, again, stream)] == [None, "true", "true"]
        assert num_runs(served) == 1


def test_another_body_or_route_under_a_key_is_a_conflict() -> None:
    with serving(fake_settings(), FakeLoader()) as served:
        served.post({"prompt": PROMPT}, headers=KEY)

        refused = served.post({"prompt": PROMPT, "task": "math"}, headers=KEY)

        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_conflict")
        assert refused.headers["x-should-retry"] == "false"
        assert served.post({"prompt": PROMPT}, headers={"idempotency-key": "k-2"}).status_code == 200
        assert num_runs(served) == 2


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, "é".encode()])
def test_a_key_that_is_none_is_refused(slow: Served, key: bytes) -> None:
    response = slow.client.post(GENERATE, json={"prompt": PROMPT}, headers=[(b"idempotency-key", key)])

    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_idempotency_key")


def test_two_keys_are_refused(slow: Served) -> None:
    headers = [("idempotency-key", "a"), ("idempotency-key", "a")]

    response = slow.client.post(GENERATE, json={"prompt": PROMPT}, headers=headers)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_idempotency_key")


def test_a_key_is_free_again_after_a_failure_a_refusal_and_a_cancel() -> None:
    with held_up() as (served, faults):
        faults.gate.set()
        for _ in range(2):
            assert served.post({"prompt": POISON}, headers=KEY).status_code >= 500
            assert (
                served.post({"prompt": PROMPT, "gen_length": -1}, headers={"idempotency-key": "bad"}).status_code == 400
            )
        faults.gate.clear()
        with httpx.Client(base_url=served.url) as leaving, pytest.raises(httpx.ReadTimeout):
            leaving.post(GENERATE, json={"prompt": PROMPT}, headers={"idempotency-key": "left"}, timeout=0.3)
        wait_until(lambda: not live_ids(served) or served.service.runs._live[live_ids(served)[0]].is_cancelled)
        faults.gate.set()

        again = served.post({"prompt": PROMPT}, headers={"idempotency-key": "left"})

        assert (again.status_code, again.headers.get("idempotent-replayed")) == (200, None)
        assert len(served.service.runs._claims) == 1


def test_a_run_lives_while_one_of_its_connections_waits() -> None:
    with held_up() as (served, faults), ThreadPoolExecutor(1) as pool:
        patient = pool.submit(served.post, {"prompt": PROMPT}, headers=KEY)
        wait_until(lambda: len(live_ids(served)) == 1)
        with httpx.Client(base_url=served.url) as leaving, pytest.raises(httpx.ReadTimeout):
            leaving.post(GENERATE, json={"prompt": PROMPT}, headers=KEY, timeout=0.3)
        wait_until(lambda: any(line.get("joined") for line in served.lines))
        faults.gate.set()

        assert patient.result().status_code == 200


def test_keys_are_kept_as_hashes_and_as_long_as_their_runs() -> None:
    with serving(fake_settings(limits=LimitSettings(kept_seconds=0.3)), FakeLoader()) as served:
        first = served.post({"prompt": PROMPT}, headers=KEY).json()["id"]
        claims = served.service.runs._claims
        (stored,) = claims._claims

        assert stored == hashlib.sha256(b"\0k-1").hexdigest()
        wait_until(lambda: len(claims) == 0, 10)
        assert served.post({"prompt": PROMPT}, headers=KEY).json()["id"] != first


def test_a_deadline_is_an_error_in_every_transport(slow: Served) -> None:
    body = {"prompt": PROMPT, "deadline_ms": 100}

    response = slow.post(body)
    *_, last = slow.events(body)

    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert (last["type"], last["error"]) == ("tie.error", response.json()["error"])


def test_a_deadline_gives_what_there_is(slow: Served) -> None:
    whole = slow.post({"prompt": PROMPT}).json()

    partial = slow.post({"prompt": PROMPT, "deadline_ms": 600, "on_deadline": "partial"}).json()

    state = state_of(slow, partial["id"])
    assert whole["tie"]["partial"] is False
    assert (partial["finish_reason"], partial["tie"]["partial"]) == ("deadline", True)
    assert (state["state"], state["result"]) == ("completed", partial)
    assert partial["timings"]["total_ms"] >= 590


def test_a_deadline_counts_the_queue(slow: Served) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow.post, {"prompt": PROMPT})
        wait_until(lambda: len(live_ids(slow)) == 1)
        partial = slow.post({"prompt": PROMPT, "deadline_ms": 50, "on_deadline": "partial"}).json()
        late = slow.post({"prompt": PROMPT, "deadline_ms": 50})

        assert first.result().status_code == 200
    assert (partial["text"], partial["finish_reason"]) == ("", "deadline")
    assert late.status_code == 504


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"deadline_ms": 86_400_001}, "deadline_ms"),
        ({"deadline_ms": 1.5}, "deadline_ms"),
        ({"on_deadline": "partial"}, "on_deadline"),
        ({"deadline_ms": 5, "on_deadline": "stop"}, "on_deadline"),
        ({"on_disconnect": "stay"}, "on_disconnect"),
    ],
)
def test_values_that_mean_nothing_are_refused(slow: Served, fields: dict[str, Any], param: str) -> None:
    response = slow.post({"prompt": PROMPT, **fields})

    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_the_server_has_a_deadline_of_its_own() -> None:
    limits = LimitSettings(max_seconds=0.1)
    with serving(fake_settings(limits=limits), FakeLoader(Faults(seconds=STEP))) as served:
        started = time.monotonic()
        response = served.post({"prompt": PROMPT, "deadline_ms": 60_000})

        assert response.status_code == 504
        assert time.monotonic() - started >= 0.1
        assert served.client.get(REQUESTS + response.headers["x-request-id"]).json()["state"] == "failed"
