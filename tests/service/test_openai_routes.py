"""The OpenAI routes driven by the real `openai` client, over scripted members."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from service.routes.openai import CHAT, COMPLETIONS
from service.settings import LimitSettings
from tests.service.fakes import DEADLY, POISON, FakeLoader, Faults, fake_settings
from tests.service.served import PROMPT, Served, serving, wait_until

MESSAGES: list[Any] = [{"role": "user", "content": PROMPT}]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with client_of(served) as client:
        yield client


def client_of(served: Served, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", **{"max_retries": 0, **options})


def chat(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": "tie", "messages": MESSAGES, **fields})


def native(served: Served, **fields: Any) -> dict[str, Any]:
    return dict(served.post({"messages": MESSAGES, **fields}).json())


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ("text", "finish_reason", "reasoning", "answer")}


def test_a_chat_has_the_native_routes_answer(served: Served, client: openai.OpenAI) -> None:
    expected = native(served)

    answer = chat(client)

    (choice,) = answer.choices
    assert answer.object == "chat.completion"
    assert answer.model == "tie"
    assert choice.message.role == "assistant"
    assert choice.message.content == expected["text"] == answer.tie["reasoning"] + " Answer:" + answer.tie["answer"]
    assert choice.finish_reason == expected["finish_reason"]
    assert answer.usage.to_dict() == expected["usage"]
    assert {key: value for key, value in answer.tie.items() if key not in ("reasoning", "answer")} == expected["tie"]
    assert set(answer.timings) == set(expected["timings"])


def test_a_completion_reads_the_prompt_as_it_is(served: Served, client: openai.OpenAI) -> None:
    expected = served.post({"prompt": PROMPT}).json()

    for prompt in (PROMPT, [PROMPT]):
        answer = client.completions.create(model="tie", prompt=prompt)
        assert answer.object == "text_completion"
        assert answer.choices[0].text == expected["text"]
        assert answer.choices[0].finish_reason == expected["finish_reason"]


def test_a_member_is_asked_alone_by_its_name(served: Served, client: openai.OpenAI) -> None:
    answer = chat(client, model="zoo-dream")

    assert answer.model == "zoo-dream"
    assert answer.choices[0].message.content == native(served, models=["zoo-dream"])["text"]
    assert answer.tie["wins"].keys() == {"zoo-dream"}


def test_models_are_listed_and_found_by_name(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tie", "zoo-llada", "zoo-dream"]
    assert client.models.retrieve("zoo-llada").id == "zoo-llada"
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-4")
    assert refused.value.code == "model_not_found"


def test_content_in_parts_and_a_developer_are_what_they_are_elsewhere(served: Served, client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": PROMPT[:9]}, {"type": "text", "text": PROMPT[9:]}]
    system = [{"role": "system", "content": "be brief"}]
    expected = native(served, messages=[*system, *MESSAGES])["text"]

    answer = chat(
        client, messages=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts, "name": "x"}]
    )

    assert answer.choices[0].message.content == expected


def test_what_changes_nothing_is_accepted(served: Served, client: openai.OpenAI) -> None:
    answer = chat(
        client,
        temperature=0,
        top_p=1,
        n=1,
        seed=7,
        user="somebody",
        metadata={"a": "b"},
        max_completion_tokens=4096,
        presence_penalty=0.0,
        response_format={"type": "text"},
        logprobs=False,
        tools=[],
        extra_body={"never_heard_of": {"x": 1}, "top_k": 40},
    )

    assert answer.choices[0].message.content == native(served)["text"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.7),
        ("temperature", True),
        ("top_p", 0.9),
        ("n", 2),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("echo", True),
        ("response_format", {"type": "json_object"}),
        ("frequency_penalty", 0.5),
        ("logit_bias", {"1": 5}),
        ("stop", ["a"] * 5),
        ("max_tokens", 0),
        ("max_tokens", "many"),
        ("stream", "yes"),
        ("messages", []),
        ("unmasking", {"policy": "none"}),
        ("tie", {"colour": 1}),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client: openai.OpenAI, field: str, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, extra_body={field: value})

    assert str(refused.value.param).split(".")[0] == field
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": [PROMPT, PROMPT]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": PROMPT, "logprobs": 1}, "logprobs"),
        ({"prompt": PROMPT, "suffix": "x"}, "suffix"),
        ({}, "prompt"),
    ],
)
def test_a_completion_names_what_it_cannot_do(served: Served, body: dict[str, Any], param: str) -> None:
    response = served.client.post(COMPLETIONS, json={"model": "tie", **body})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_an_image_is_refused_without_its_content(served: Served) -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:secret"}}]

    response = served.client.post(CHAT, json={"model": "tie", "messages": [{"role": "user", "content": parts}]})

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "messages[0].content")
    assert "text" in error["message"]
    assert "secret" not in response.text


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        chat(client, model="gpt-4o")

    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert "gpt-4o" not in refused.value.message


def test_native_options_travel_as_extra_fields(served: Served, client: openai.OpenAI) -> None:
    options: dict[str, Any] = {
        "tie": {"interval": 4, "score": "margin"},
        "reasoning_length": 8,
        "answer": {"length": 6},
        "unmasking": {"policy": "threshold", "tau": 0.8},
    }

    answer = chat(client, extra_body=options)

    assert answer.choices[0].message.content == native(served, **options)["text"]


def test_a_stop_string_cuts_the_text_on_every_route(served: Served, client: openai.OpenAI) -> None:
    whole = native(served)["text"]
    stop = whole[10:13]

    answer = chat(client, stop=stop)

    assert answer.choices[0].message.content == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert told(native(served, stop=[stop], seed=3)) == {
        "text": whole[: whole.index(stop)],
        "finish_reason": "stop",
        "reasoning": whole[: whole.index(stop)],
        "answer": "",
    }


def chunks_of(served: Served, path: str, **fields: Any) -> list[Any]:
    """The raw stream: every message's data."""
    body = {"model": "tie", "stream": True, **fields}
    response = served.client.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    messages = [block for block in response.text.split("\n\n") if block and not block.startswith(":")]
    assert all(message.startswith("data: ") and "\n" not in message for message in messages)
    return [message.removeprefix("data: ") for message in messages]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stop": ["5", "Answer:3"]},
        {"stop": " Answer:"},
        {"max_tokens": 9},
        {"tie": {"interval": 3}},
        {"events": "step"},
        {"events": "snapshot"},
        {"model": "zoo-llada"},
    ],
)
def test_streamed_deltas_in_a_row_are_the_text(
    client: openai.OpenAI, fields: dict[str, Any], numbers: Callable[[int, int], int]
) -> None:
    for number in range(numbers(3, 100)):
        asked: dict[str, Any] = {
            "model": fields.get("model", "tie"),
            "messages": [{"role": "user", "content": f"{PROMPT}{number}"}],
            "extra_body": {name: value for name, value in fields.items() if name != "model"},
        }
        whole = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
        assert all(chunk.choices for chunk in chunks)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
        reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason]
        assert reasons == [whole.choices[0].finish_reason]
        assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_text_is_sent_before_the_end(served: Served) -> None:
    *chunks, done = chunks_of(served, CHAT, messages=MESSAGES)

    data = [json.loads(chunk) for chunk in chunks]
    deltas = [index for index, chunk in enumerate(data) if chunk["choices"][0]["delta"].get("content")]
    last_round = max(i for i, chunk in enumerate(data) if chunk.get("tie", {}).get("type") == "tie.round")
    assert done == "[DONE]"
    assert deltas[0] < last_round
    assert data[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_each_event_rides_in_a_valid_chunk_with_an_empty_delta(served: Served, client: openai.OpenAI) -> None:
    events = [
        chunk.model_extra["tie"]
        for chunk in chat(client, stream=True)
        if "tie" in (chunk.model_extra or {}) and chunk.choices[0].delta.content is None
    ]

    expected = served.events({"messages": MESSAGES})
    assert [(event["type"], event["seq"]) for event in events] == [(event["type"], event["seq"]) for event in expected]
    assert events[-1]["text"] == expected[-1]["text"]


def test_usage_comes_only_when_asked_for_and_last(served: Served, client: openai.OpenAI) -> None:
    usage = native(served)["usage"]

    plain = list(chat(client, stream=True))
    asked = list(chat(client, stream=True, stream_options={"include_usage": True}))

    assert all(chunk.usage is None for chunk in plain)
    assert [chunk.usage.to_dict() for chunk in asked if chunk.usage] == [usage]
    assert asked[-1].usage is not None
    assert asked[-1].choices[0].delta.content is None


def test_a_streamed_completion_is_the_text(served: Served, client: openai.OpenAI) -> None:
    whole = client.completions.create(model="tie", prompt=PROMPT).choices[0].text

    chunks = list(client.completions.create(model="tie", prompt=PROMPT, stream=True))

    assert "".join(chunk.choices[0].text for chunk in chunks) == whole
    assert chunks[-1].choices[0].finish_reason == "length"


def test_while_diffusing_every_chunk_has_the_whole_text(served: Served) -> None:
    *chunks, done = chunks_of(served, CHAT, messages=MESSAGES, diffusing=True, stream_options={"include_usage": True})

    texts = [json.loads(chunk)["choices"][0]["delta"]["content"] for chunk in chunks]
    assert done == "[DONE]"
    assert texts[0] == ""
    assert len(set(texts)) > 3
    assert texts[-1] == texts[-2] == native(served)["text"]
    assert all(" Answer:" in text for text in texts[-3:])


def test_what_a_deadline_leaves_is_an_answer_that_was_cut() -> None:
    loader = FakeLoader(Faults(seconds=0.02))
    with serving(fake_settings(), loader) as served, client_of(served) as client:
        partial = {"deadline_ms": 400, "on_deadline": "partial"}
        answer = chat(client, extra_body=partial)
        chunks = list(chat(client, extra_body=partial, stream=True))

    assert answer.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "length"
    assert answer.tie["partial"] is True
    (ended,) = [tie for chunk in chunks if (tie := (chunk.model_extra or {}).get("tie", {})).get("answer") is not None]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ended["text"]


def test_a_repeated_chat_joins_the_first(served: Served) -> None:
    headers = {"idempotency-key": "chat-1"}
    body = {"model": "tie", "messages": MESSAGES}

    first, again = (served.client.post(CHAT, json=body, headers=headers) for _ in range(2))

    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["choices"] == again.json()["choices"]


def test_a_lost_member_takes_nothing_back() -> None:
    messages = [{"role": "user", "content": f"{PROMPT} {DEADLY}"}]

    with serving(fake_settings(), FakeLoader()) as failing, client_of(failing) as client:
        chunks = list(chat(client, messages=messages, stream=True))

    ends = [tie for chunk in chunks if (tie := (chunk.model_extra or {}).get("tie", {})).get("type") == "tie.completed"]
    assert ends[0]["tie"]["degraded"] is True
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ends[0]["text"]


def test_a_failure_on_a_stream_is_its_last_message(served: Served, client: openai.OpenAI) -> None:
    *_, last = chunks_of(served, CHAT, messages=[{"role": "user", "content": POISON}])

    error = json.loads(last)["error"]
    assert (error["code"], set(error)) == ("member_failed", {"message", "type", "param", "code"})
    with pytest.raises(openai.APIError, match=re.escape(error["message"])):
        list(chat(client, messages=[{"role": "user", "content": POISON}], stream=True))


def test_a_failure_without_a_stream_is_a_server_error_that_the_client_does_not_retry(served: Served) -> None:
    num_before = served.metric("tie_request_errors_total", type="server_error")

    with client_of(served, max_retries=2) as client, pytest.raises(openai.InternalServerError) as failed:
        chat(client, messages=[{"role": "user", "content": POISON}])

    assert failed.value.code == "member_failed"
    wait_until(lambda: served.metric("tie_request_errors_total", type="server_error") == num_before + 1)


def test_the_clients_own_retry_waits_as_told_and_succeeds(figure: Callable[[str], None]) -> None:
    loader = FakeLoader(Faults())
    with serving(fake_settings(limits=LimitSettings(max_running=1, max_waiting=0)), loader) as served:
        loader.faults.gate.clear()
        with client_of(served) as hasty, client_of(served, max_retries=8) as patient:
            first = hasty.chat.completions.with_raw_response.create
            busy = served.client.build_request(
                "POST", CHAT, json={"model": "tie", "messages": MESSAGES, "stream": True}
            )
            response = served.client.send(busy, stream=True)
            with pytest.raises(openai.InternalServerError) as refused:
                first(model="tie", messages=MESSAGES)
            assert refused.value.status_code == 503
            assert refused.value.code == "queue_full"
            seconds = int(refused.value.response.headers["retry-after"])
            started = time.monotonic()
            rejected = served.metric("tie_admission_rejections_total", reason="queue_full")
            release_after(loader, served, rejected + 1)
            answer = chat(patient)
            waited = time.monotonic() - started
            response.close()
    assert answer.choices[0].message.content
    assert waited >= seconds
    figure(f"openai client: refused with Retry-After {seconds}, came back by itself after {waited:.2f} s")


def release_after(loader: FakeLoader, served: Served, num_rejected: float) -> None:
    """Open the gate once the next request was refused."""

    def wait() -> None:
        wait_until(lambda: served.metric("tie_admission_rejections_total", reason="queue_full") >= num_rejected)
        loader.faults.gate.set()

    threading.Thread(target=wait).start()


def test_metrics_and_logs_name_the_route(served: Served, client: openai.OpenAI) -> None:
    before = served.metric("tie_requests_total", ensemble="tie", endpoint=CHAT, finish_reason="length")

    chat(client)
    client.completions.create(model="tie", prompt=PROMPT)

    assert served.metric("tie_requests_total", ensemble="tie", endpoint=CHAT, finish_reason="length") == before + 1
    wait_until(lambda: any(line.get("route") == COMPLETIONS and line.get("status") == 200 for line in served.lines))
    (line, *_) = [line for line in served.lines if line.get("route") == CHAT and line.get("rounds")]
    assert (line["endpoint"], line["ensemble"], line["degraded"]) == (CHAT, "tie", False)
    assert line["generated_tokens"] > 0
    assert line["prompt_tokens"] > 0
    assert not re.search(r"314159", served.log.getvalue())


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_the_routes_want_json(served: Served, path: str) -> None:
    response = served.client.post(path, content=b"{}", headers={"content-type": "text/plain"})

    assert response.status_code == 415
