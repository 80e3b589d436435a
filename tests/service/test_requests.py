"""A request by its id: its state, its result, its events from any point on, and its end when somebody says so."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from service.routes import tie as routes
from service.settings import LimitSettings
from tests.service.fakes import POISON, FakeLoader, Faults, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, serving, wait_until
from tests.service.test_generate import parse_sse

REQUESTS = "/v1/tie/requests/"
NDJSON = {"accept": "application/x-ndjson"}
STEPS = {"prompt": PROMPT, "events": "step"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


@contextmanager
def held_up(**limits: Any) -> Iterator[tuple[Served, Faults]]:
    """A server whose members wait until the gate is opened."""
    loader = FakeLoader()
    with serving(fake_settings(limits=LimitSettings(**limits)), loader) as served:
        loader.faults.gate.clear()
        try:
            yield served, loader.faults
        finally:
            loader.faults.gate.set()


def state_of(served: Served, run_id: str) -> dict[str, Any]:
    response = served.client.get(REQUESTS + run_id)
    assert response.status_code == 200, response.text
    return response.json()


def events_after(served: Served, run_id: str, after: int | None = None, **params: str) -> list[dict[str, Any]]:
    asked = params | ({} if after is None else {"starting_after": str(after)})
    response = served.client.get(f"{REQUESTS}{run_id}/events", params=asked, headers=NDJSON)
    assert response.status_code in (200, 204), response.text
    return [json.loads(line) for line in response.text.splitlines()]


def live_ids(served: Served) -> list[str]:
    return list(served.service.runs._live)


def test_a_completed_request_has_its_result(served: Served) -> None:
    answer = served.post({"prompt": PROMPT}).json()

    state = state_of(served, answer["id"])

    assert state["state"] == "completed"
    assert state["result"] == answer
    assert state["error"] is None
    assert state["timings"]["age_ms"] >= state["timings"]["run_ms"] > 0
    assert 0 < state["timings"]["kept_ms"] <= 300_000


def test_a_failed_request_has_its_error(served: Served) -> None:
    first, *_, last = served.events({"prompt": POISON})

    state = state_of(served, first["id"])

    assert (state["state"], state["result"], state["error"]) == ("failed", None, last["error"])


@pytest.mark.parametrize("path", ["tie-0", "tie-" + "0" * 32, "%00", "a" * 2000, "tie-x/events"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_request_is_not_found(served: Served, method: str, path: str) -> None:
    response = served.client.request(method, REQUESTS + path)

    is_no_route = method == "DELETE" and path.endswith("/events")
    expected = (405, "method_not_allowed") if is_no_route else (404, "request_not_found")
    assert (response.status_code, response.json()["error"]["code"]) == expected


def test_states_from_the_queue_to_the_end() -> None:
    with held_up(max_running=1) as (served, faults), ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.post, {"prompt": PROMPT})
        wait_until(lambda: len(live_ids(served)) == 1)
        second = pool.submit(served.post, {"prompt": PROMPT})
        wait_until(lambda: len(live_ids(served)) == 2)
        running, queued = live_ids(served)
        wait_until(lambda: state_of(served, running)["state"] == "running")

        waiting = state_of(served, queued)
        assert (waiting["state"], waiting["result"], waiting["error"]) == ("queued", None, None)
        assert (waiting["timings"]["run_ms"], waiting["timings"]["kept_ms"]) == (None, None)
        assert waiting["last_seq"] >= 1
        faults.gate.set()
        for answer, run_id in ((first.result(), running), (second.result(), queued)):
            assert answer.status_code == 200
            assert state_of(served, run_id)["state"] == "completed"


def test_a_request_is_cancelled_in_the_queue_and_in_its_rounds() -> None:
    with held_up(max_running=1) as (served, faults), ThreadPoolExecutor(2) as pool:
        waiters = []
        for number in (1, 2):
            waiters.append(pool.submit(served.post, {"prompt": PROMPT}))
            wait_until(lambda number=number: len(live_ids(served)) == number)
        running, queued = live_ids(served)
        wait_until(lambda: state_of(served, running)["state"] == "running")

        for run_id in (queued, running):
            for _ in range(2):
                response = served.client.delete(REQUESTS + run_id)
                assert (response.status_code, response.json()["state"]) == (200, "cancelled")
                assert response.json()["error"]["code"] == "cancelled"
        faults.gate.set()

        for waiter in waiters:
            assert (waiter.result().status_code, waiter.result().json()["error"]["code"]) == (409, "cancelled")
        engine = served.service.lifecycle.loaded.engine
        wait_until(lambda: (engine.num_rows, engine.num_running, engine.num_waiting) == (0, 0, 0))
        for phase in ("queued", "running"):
            assert served.metric("tie_request_cancellations_total", cause="delete", phase=phase) == 1


def test_nothing_happens_to_a_completed_request_that_is_cancelled(served: Served) -> None:
    answer = served.post({"prompt": PROMPT}).json()

    response = served.client.delete(REQUESTS + answer["id"])

    assert (response.status_code, response.json()["state"]) == (200, "completed")
    assert response.json()["result"] == answer


@pytest.mark.parametrize("detail", ["round", "step"])
def test_a_replay_from_any_point_is_the_rest_of_the_stream(served: Served, detail: str) -> None:
    whole = served.events({"prompt": PROMPT, "events": detail})
    run_id = whole[0]["id"]

    for cut in {0, 1, len(whole) - 1, len(whole), *random.Random(7).sample(range(len(whole)), min(8, len(whole)))}:
        assert whole[:cut] + events_after(served, run_id, cut) == whole


def test_a_stream_that_is_cut_goes_on_where_it_was() -> None:
    loader = FakeLoader(Faults(seconds=0.005))
    with serving(fake_settings(), loader) as served:
        body = {**STEPS, "on_disconnect": "continue"}
        with served.client.stream("POST", GENERATE, json=body, headers=NDJSON) as response:
            lines = response.iter_lines()
            first = [json.loads(next(lines)) for _ in range(5)]
        run_id = first[0]["id"]

        resumed = events_after(served, run_id, first[-1]["seq"])

        whole = first + resumed
        assert [event["seq"] for event in whole] == list(range(1, whole[-1]["seq"] + 1))
        assert whole == events_after(served, run_id)
        assert whole[-1]["type"] == "tie.completed"


def test_after_merging_a_replay_has_a_snapshot_and_says_what_it_skips() -> None:
    with serving(fake_settings(limits=LimitSettings(max_kept_states=8)), FakeLoader()) as served:
        run_id = served.post(STEPS).json()["id"]

        events = events_after(served, run_id)

        assert [event["type"] for event in events].count("tie.snapshot") == 1
        assert sum(1 + event.get("skipped", 0) for event in events) == events[-1]["seq"]
        assert events[-1]["seq"] == state_of(served, run_id)["last_seq"]


def test_a_follower_chooses_snapshots_or_rounds(served: Served) -> None:
    run_id = served.post(STEPS).json()["id"]

    snapshots = [event["type"] for event in events_after(served, run_id, events="snapshot")]
    rounds = [event["type"] for event in events_after(served, run_id, events="round")]

    assert snapshots.count("tie.snapshot") == 1
    assert "tie.step" not in snapshots + rounds
    assert [kind for kind in snapshots if kind != "tie.snapshot"] == rounds


def test_server_sent_events_go_on_from_the_last_event_id(served: Served) -> None:
    run_id = served.post(STEPS).json()["id"]

    response = served.client.get(f"{REQUESTS}{run_id}/events", headers={"last-event-id": "7"})

    frames = parse_sse(response.text)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert frames[0]["id"] == "8"
    assert json.loads(frames[-1]["data"])["type"] == frames[-1]["event"] == "tie.completed"


def test_who_has_seen_everything_is_told_not_to_come_back(served: Served) -> None:
    run_id = served.post({"prompt": PROMPT}).json()["id"]
    last = state_of(served, run_id)["last_seq"]

    response = served.client.get(f"{REQUESTS}{run_id}/events", params={"starting_after": last})

    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("after", ["-1", "x", "1.0", "", "1e3", "999", "9" * 40, "١", " 1", "0x1"])
def test_a_number_that_is_no_event_is_refused(served: Served, after: str) -> None:
    run_id = served.post({"prompt": PROMPT}).json()["id"]

    response = served.client.get(f"{REQUESTS}{run_id}/events", params={"starting_after": after})

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_value", "starting_after")


def test_steps_are_there_only_where_the_request_asked_for_them(served: Served) -> None:
    run_id = served.post({"prompt": PROMPT}).json()["id"]

    response = served.client.get(f"{REQUESTS}{run_id}/events", params={"events": "step"})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "events")
    assert not any(event["type"] == "tie.step" for event in events_after(served, run_id))


def test_a_follower_that_leaves_cancels_nothing() -> None:
    with held_up() as (served, faults), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.post, {"prompt": PROMPT})
        wait_until(lambda: len(live_ids(served)) == 1)
        with (
            httpx.Client(base_url=served.url) as follower,
            follower.stream("GET", f"{REQUESTS}{live_ids(served)[0]}/events", headers=NDJSON) as response,
        ):
            assert json.loads(next(response.iter_lines()))["type"] == "tie.created"
        wait_until(lambda: served.metric("tie_sse_streams_open", endpoint=GENERATE) == 0)
        faults.gate.set()

        assert answer.result().status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_a_run_goes_on_without_its_client_if_it_said_so(accept: str) -> None:
    with held_up() as (served, faults):
        body = {"prompt": PROMPT, "on_disconnect": "continue"}
        with httpx.Client(base_url=served.url) as leaving, pytest.raises(httpx.ReadTimeout):
            leaving.post(GENERATE, json=body, headers={"accept": accept}, timeout=0.5)
        (run_id,) = live_ids(served)
        wait_until(lambda: any(line.get("finish_reason") == "cancelled" for line in served.lines))
        faults.gate.set()

        wait_until(lambda: state_of(served, run_id)["state"] == "completed")


def test_requests_are_forgotten_in_time() -> None:
    with serving(fake_settings(limits=LimitSettings(kept_seconds=0.3)), FakeLoader()) as served:
        run_id = served.post({"prompt": PROMPT}).json()["id"]

        wait_until(lambda: served.client.get(REQUESTS + run_id).status_code == 404, 10)

        kept = served.service.runs._kept
        assert (len(kept), kept.num_bytes) == (0, 0)


@pytest.mark.parametrize("limits", [{"max_kept_runs": 3}, {"max_kept_bytes": 30_000}])
def test_only_so_many_are_kept_and_the_newest_of_them(limits: dict[str, int]) -> None:
    with serving(fake_settings(limits=LimitSettings(**limits)), FakeLoader()) as served:
        run_ids = [served.post({"prompt": PROMPT}).json()["id"] for _ in range(12)]

        found = [served.client.get(REQUESTS + run_id).status_code == 200 for run_id in run_ids]

        kept = served.service.runs._kept
        assert 0 < sum(found) < 12
        assert found == sorted(found)
        assert len(kept) <= limits.get("max_kept_runs", 12)
        assert kept.num_bytes <= limits.get("max_kept_bytes", kept.num_bytes)


def test_a_kept_request_holds_no_prompt_and_no_canvas(served: Served) -> None:
    run_id = served.post(STEPS).json()["id"]

    record = served.service.runs._kept.get(run_id)

    assert record is not None
    assert record.log._base is None
    assert all(entry.event is None and entry.relayed is None for entry in record.log._entries)
    assert not any(b"314159" in (entry.body or b"") for entry in record.log._entries)


def test_a_request_is_there_for_its_owner_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "owner_of", lambda request: request.headers.get("x-owner"))
    with serving(fake_settings(), FakeLoader()) as served:
        run_id = served.post({"prompt": PROMPT}, headers={"x-owner": "a"}).json()["id"]

        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            statuses = [
                served.client.request(method, REQUESTS + run_id + path, headers=owner).status_code
                for owner in ({"x-owner": "a"}, {"x-owner": "b"}, {})
            ]
            assert statuses == [200, 404, 404]


def test_a_relay_is_shown_to_its_own_request() -> None:
    """Beside an older one that is live as well: snapshots are those of the request alone."""
    body = {"prompt": PROMPT, "events": "snapshot"}

    def last_snapshot(events: list[dict[str, Any]]) -> dict[str, Any]:
        return [event for event in events if event["type"] == "tie.snapshot"][-1]["models"]

    with held_up() as (served, faults), ThreadPoolExecutor(2) as pool:
        older = pool.submit(served.post, {"prompt": "inc 161803", "events": "step", "stream": False})
        wait_until(lambda: len(live_ids(served)) == 1)
        younger = pool.submit(served.events, body)
        wait_until(lambda: len(live_ids(served)) == 2)
        faults.gate.set()
        shown, alone = last_snapshot(younger.result()), served.events(body)
        older.result()

    assert shown == last_snapshot(alone)
    assert any(event["relayed"] for event in alone if event["type"] == "tie.round")
