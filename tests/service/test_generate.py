"""The native route: one request as JSON, SSE and NDJSON."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.option_places import body_of
from service.settings import LimitSettings
from tests.service.fakes import POISON, FakeLoader, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, serving, wait_until


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("id", "timings", "type", "seq", "t_ms")}


def parse_sse(text: str) -> list[dict[str, str]]:
    """Every event of an SSE body by its fields; comments are left out."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def test_json_answer_has_the_whole_response(served: Served) -> None:
    response = served.post({"prompt": PROMPT})

    answer = response.json()
    assert response.status_code == 200
    assert answer["id"] == response.headers["x-request-id"]
    assert answer["text"] == answer["reasoning"] + " Answer:" + answer["answer"]
    assert answer["finish_reason"] == "length"
    assert set(answer["tie"]["nfe"]) == {"zoo-llada", "zoo-dream"}
    assert answer["tie"]["rounds"] >= 1


def test_messages_and_prompt_both_work(served: Served) -> None:
    response = served.post({"messages": [{"role": "user", "content": PROMPT}]})

    assert response.status_code == 200


def test_the_last_event_is_the_json_answer(served: Served) -> None:
    answer = served.post({"prompt": PROMPT}).json()

    *_, last = served.events({"prompt": PROMPT, "events": "step"})

    assert last["type"] == "tie.completed"
    assert set(last) == set(answer) | {"type", "seq", "t_ms"}
    assert without_times(last) == without_times(answer)


@pytest.mark.parametrize("detail", ["round", "step", "snapshot"])
def test_events_come_in_order_without_gaps_and_end_once(served: Served, detail: str) -> None:
    events = served.events({"prompt": PROMPT, "events": detail})

    kinds = [event["type"] for event in events]
    produced = sum(1 + event.get("skipped", 0) for event in events)
    assert kinds[:2] == ["tie.created", "tie.started"]
    assert produced == events[-1]["seq"]
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    assert [kind for kind in kinds if kind in ("tie.completed", "tie.error")] == ["tie.completed"]
    assert kinds.count("tie.round") == events[-1]["tie"]["rounds"]
    assert ("tie.step" in kinds) == (detail == "step")
    assert ("tie.snapshot" in kinds) == (detail == "snapshot")
    if detail != "snapshot":
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_rounds_rebuild_the_leaders_canvas(served: Served) -> None:
    events = served.events({"prompt": PROMPT, "events": "round"})

    shown: dict[int, str] = {}
    for event in events:
        if event["type"] == "tie.round":
            for position in event["unset"]:
                del shown[position]
            shown |= {position: text for position, text, _ in event["set"]}
    last_round = [event for event in events if event["type"] == "tie.round"][-1]
    assert len(shown) == 24 + 18 - last_round["masked_left"]


def test_sse_frames_carry_type_seq_and_data(served: Served) -> None:
    response = served.post({"prompt": PROMPT, "stream": True})

    frames = parse_sse(response.text)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    for frame in frames:
        data = json.loads(frame["data"])
        assert set(frame) == {"id", "event", "data"}
        assert (frame["event"], int(frame["id"])) == (data["type"], data["seq"])
    assert frames[-1]["event"] == "tie.completed"


@pytest.mark.parametrize(
    ("accept", "stream", "media_type"),
    [
        ("*/*", None, "application/json"),
        ("application/json", True, "text/event-stream"),
        ("text/event-stream", None, "text/event-stream"),
        ("application/x-ndjson", None, "application/x-ndjson"),
        ("application/x-ndjson", True, "application/x-ndjson"),
        ("application/x-ndjson", False, "application/json"),
        ("text/event-stream", False, "application/json"),
    ],
)
def test_accept_header_and_stream_choose_the_transport(
    served: Served, accept: str, stream: bool | None, media_type: str
) -> None:
    response = served.post({"prompt": PROMPT, "stream": stream}, headers={"accept": accept})

    assert response.headers["content-type"].partition(";")[0] == media_type


def test_options_reach_the_core_and_come_back_resolved(served: Served) -> None:
    body = {
        "prompt": PROMPT,
        "models": ["zoo-dream"],
        "reasoning_length": 8,
        "block_size": 4,
        "answer": {"suffix": " =", "length": 6, "scored_positions": 3},
        "tie": {"interval": 4, "score": "margin", "cross_model": False, "selection": "most_selected"},
        "unmasking": {
            "policy": "factor",
            "factor": 0.8,
            "suppress_end": True,
            "fill_end": True,
        },
        "early_commit": True,
        "early_commit_margin": 0.8,
    }

    created, *_ = served.events(body)

    options = created["options"]
    assert [model["id"] for model in created["models"]] == ["zoo-dream"]
    assert (options["reasoning"], options["answer"], options["suffix"]) == (8, 6, " =")
    assert (options["scored_positions"], options["block_size"], options["interval"]) == (3, 4, 4)
    assert (options["score"], options["cross_model"], options["selection"]) == ("margin", False, "most_selected")
    assert (options["policy"], options["factor"], options["suppress_end"]) == ("factor", 0.8, "confidence")
    assert options["fill_end"] is True
    assert (options["early_commit"], options["early_commit_margin"]) == (True, 0.8)


def test_defaults_are_layered_in_the_core(served: Served) -> None:
    created, *_ = served.events({"prompt": PROMPT})

    canvas = created["canvas"]
    assert (canvas["reasoning"], canvas["answer"], canvas["block_size"]) == (24, 18, 8)
    assert canvas["gen_length"] == 24 + canvas["suffix"] + 18


def test_snapshots_end_in_the_members_own_canvases(served: Served) -> None:
    events = served.events({"prompt": PROMPT, "events": "snapshot"})

    last = [event for event in events if event["type"] == "tie.snapshot"][-1]
    candidates = events[-1]["tie"]["candidates"]
    shown = {name: model["tokens"] for name, model in last["models"].items()}
    assert {name: "".join(tokens).partition(" Answer:")[2] for name, tokens in shown.items()} == candidates


def test_a_failing_member_is_a_typed_error_everywhere(served: Served) -> None:
    body = {"prompt": POISON, "models": ["zoo-llada"]}

    response = served.post(body)
    *_, last = served.events(body)

    assert response.status_code == 500
    assert response.json()["error"]["code"] == "member_failed"
    assert last["type"] == "tie.error"
    assert last["error"] == response.json()["error"]
    assert last["retryable"] is False
    wait_until(lambda: any("not finite" in line.get("reason", "") for line in served.lines))


def test_a_request_that_all_members_fail_on_is_told_why(served: Served) -> None:
    response = served.post({"prompt": POISON})

    assert response.status_code == 500
    assert response.json()["error"]["code"] == "member_failed"


def test_nothing_is_left_when_requests_have_ended(served: Served) -> None:
    served.post({"prompt": PROMPT})
    served.events({"prompt": PROMPT, "events": "step"})

    loaded = served.service.lifecycle.loaded
    assert loaded is not None
    wait_until(lambda: len(served.service.runs) == 0)
    wait_until(lambda: (loaded.engine.num_running, loaded.engine.num_waiting, loaded.engine.num_rows) == (0, 0, 0))
    assert served.metric("tie_requests_running", ensemble="tie") == 0
    wait_until(lambda: served.metric("tie_sse_streams_open", endpoint=GENERATE) == 0)


def test_one_log_line_per_request_without_its_text(served: Served) -> None:
    secret = "inc 918273"

    response = served.client.post(
        GENERATE, json={"prompt": secret}, headers={"x-request-id": "my-id"}, params={"q": secret}
    )

    own_id = response.headers["x-request-id"]
    wait_until(lambda: any(line.get("request_id") == own_id for line in served.lines))
    (line,) = [line for line in served.lines if line.get("request_id") == own_id]
    assert own_id != "my-id"
    assert (line["event"], line["route"], line["status"]) == ("request", GENERATE, 200)
    assert (line["client_request_id"], line["finish_reason"], line["transport"]) == ("my-id", "length", "json")
    assert line["duration_ms"] >= line["queue_ms"] >= 0
    assert "918273" not in served.log.getvalue()


def test_models_are_listed_in_openais_shape(served: Served) -> None:
    listed = served.client.get("/v1/models").json()

    assert listed["object"] == "list"
    assert [entry["id"] for entry in listed["data"]] == ["tie", "zoo-llada", "zoo-dream"]
    assert all(entry["object"] == "model" and isinstance(entry["created"], int) for entry in listed["data"])
    assert listed["data"][0]["members"] == ["zoo-llada", "zoo-dream"]
    assert listed["data"][0]["about"] == "Anything: these guess."
    assert listed["data"][0]["examples"] == ["1 2 3", "4 5 6"]
    assert listed["data"][0]["defaults"]["tie"]["interval"] == 8
    assert listed["data"][0] == served.client.get("/v1/models/tie").json()
    assert listed["data"][1]["family"] == "llada"


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ({}, {}),
        ({"task": "math", "score": "top1"}, {"task": "math", "tie": {"score": "top1"}}),
        ({"policy": "threshold"}, {"unmasking": {"policy": "threshold"}}),
        ({"gen_length": "64"}, {"gen_length": 64}),
        ({"reasoning_length": "8", "answer_length": "8"}, {"reasoning_length": 8, "answer": {"length": 8}}),
    ],
)
def test_the_defaults_of_an_ensemble_are_those_of_its_requests(
    served: Served, said: dict[str, str], body: dict[str, Any]
) -> None:
    (created, *_) = served.events({"prompt": PROMPT, **body})

    own = {"stop": None, "deadline_ms": None, "on_deadline": "error"}
    assert served.client.get("/v1/models/tie", params=said).json()["defaults"] == body_of(created["options"]) | own


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"task": "poetry"}, "task"),
        ({"gen_length": "many"}, "gen_length"),
        ({"reasoning_length": "-1"}, "reasoning_length"),
        ({"answer_length": "9" * 5_000}, "answer.length"),
    ],
)
def test_what_there_is_not_has_no_defaults(served: Served, said: dict[str, str], param: str) -> None:
    response = served.client.get("/v1/models/tie", params=said)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_the_servers_own_limit_is_the_default_deadline() -> None:
    with serving(fake_settings(limits=LimitSettings(max_seconds=1.5)), FakeLoader()) as served:
        assert served.client.get("/v1/models/tie").json()["defaults"]["deadline_ms"] == 1_500


def test_one_ensemble_that_answers_nothing_hides_no_other() -> None:
    settings = fake_settings()
    broken = settings.default_ensemble.model_copy(
        update={"name": "broken", "defaults": {"selection": "best_model", "best_model": "nobody"}}
    )
    settings = settings.model_copy(update={"ensembles": [*settings.ensembles, broken]})
    with serving(settings, FakeLoader()) as served:
        listed = {entry["id"]: entry for entry in served.client.get("/v1/models").json()["data"]}

        assert listed["broken"]["defaults"] is None
        assert listed["tie"]["defaults"]["tie"]["interval"] == 8
        assert served.client.get("/v1/models/broken").json() == listed["broken"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/version", "/metrics", "/openapi.json"])
def test_operators_routes_answer(served: Served, path: str) -> None:
    response = served.client.get(path)

    assert response.status_code == 200
    assert response.headers["x-request-id"].startswith("tie-")


def test_openapi_defines_all_that_it_refers_to(served: Served) -> None:
    page = served.client.get("/openapi.json").json()

    referred = {text.partition('"')[0] for text in json.dumps(page).split('"#/components/schemas/')[1:]}
    assert {"GenerateBody", "Completed", "Error"} <= referred
    assert referred <= set(page["components"]["schemas"])


def test_two_answers_at_once_over_one_connection_pool(served: Served) -> None:
    alone = without_times(served.post({"prompt": PROMPT}).json())

    with httpx.Client(base_url=served.url, timeout=60) as client:
        again = [without_times(client.post(GENERATE, json={"prompt": PROMPT}).json()) for _ in range(3)]

    assert again == [alone] * 3
