"""Whatever a client sends: the one error shape, a status that fits, and nothing of what it sent."""

import json
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service import schemas
from service.encoding import check_complexity
from service.errors import TABLE, api_error
from service.settings import LimitSettings
from tests.service.fakes import HUGE, NAMES, POISON, FakeLoader, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, serving, wait_until
from tie_core import errors as core

SECRET = "zanzibar kettle 4417"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    limits = LimitSettings(max_body_bytes=4_000_000, max_prompt_chars=5_000, body_seconds=1.0)
    with serving(fake_settings(limits=limits), FakeLoader()) as served:
        yield served


def checked(response: Any) -> dict[str, Any]:
    """The error of a response in the one shape."""
    assert response.headers["x-request-id"].startswith("tie-")
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert isinstance(body["error"]["message"], str)
    assert isinstance(body["error"]["code"], str)
    return dict(body["error"])


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "invalid_prompt", "messages"),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, 400, "invalid_prompt", "messages"),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, 400, "invalid_prompt", "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "invalid_value", "messages[0].role"),
        ({"prompt": 3}, 400, "invalid_value", "prompt"),
        ({"prompt": "x", "temperature": 1}, 400, "unknown_field", "temperature"),
        ({"prompt": "x", "tie": {"intervall": 3}}, 400, "unknown_field", "tie.intervall"),
        ({"prompt": "x", "tie": {"interval": 0}}, 400, "invalid_value", "tie.interval"),
        ({"prompt": "x", "tie": {"interval": "8"}}, 400, "invalid_value", "tie.interval"),
        ({"prompt": "x", "tie": {"best_model": "zoo"}}, 400, "invalid_value", "tie.best_model"),
        ({"prompt": "x", "unmasking": {"tau": 2}}, 400, "invalid_value", "unmasking.tau"),
        ({"prompt": "x", "unmasking": {"tau": 0.5}}, 400, "invalid_value", "unmasking.tau"),
        ({"prompt": "x", "refresh_interval": 3}, 400, "invalid_value", "refresh_interval"),
        ({"prompt": "x", "early_commit_margin": 0.5}, 400, "invalid_value", "early_commit_margin"),
        ({"prompt": "x", "tie": {"best_model": "zoo-llada"}}, 400, "invalid_value", "tie.best_model"),
        ({"prompt": "x", "models": ["zoo-llada", "zoo-llada"]}, 400, "invalid_value", "models"),
        ({"prompt": "x", "gen_length": 10**30}, 400, "invalid_value", "gen_length"),
        ({"prompt": "x", "gen_length": 1}, 400, "invalid_value", "gen_length"),
        ({"prompt": "x", "reasoning_length": 8192, "answer": {"length": -1}}, 400, "invalid_value", "answer.length"),
        ({"prompt": "x", "ensemble": SECRET}, 404, "model_not_found", "ensemble"),
        ({"prompt": "x", "models": [SECRET]}, 404, "model_not_found", "models"),
        ({"prompt": "x" * 5_001}, 400, "prompt_too_long", "prompt"),
        ([], 400, "invalid_value", None),
    ],
)
def test_a_bad_body_names_its_field(served: Served, body: Any, status: int, code: str, param: str | None) -> None:
    response = served.post(body)

    error = checked(response)
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert SECRET not in response.text


@pytest.mark.parametrize(("role", "content"), [("user", ""), ("user", "  \n"), ("assistant", "")])
@pytest.mark.parametrize(("path", "model"), [(GENERATE, {}), ("/v1/chat/completions", {"model": "tie"})])
def test_a_conversation_that_asks_nothing_is_refused(
    served: Served, path: str, model: dict[str, str], role: str, content: str
) -> None:
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    body = {**model, "messages": [*said, {"role": role, "content": content}]}

    response = served.client.post(path, json=body)

    error = checked(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_prompt", "messages[2].content")
    assert error["message"] == "the last message is empty: write what the models are to answer, or leave it out"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (GENERATE, {"prompt": ""}),
        ("/v1/completions", {"model": "tie", "prompt": ""}),
        (GENERATE, {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "x"}]}),
    ],
)
def test_a_raw_prompt_and_earlier_messages_may_be_empty(served: Served, path: str, body: dict[str, Any]) -> None:
    assert served.client.post(path, json=body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x", **{f"a{number}": 1 for number in range(1_000)}},
        {"prompt": "x", "tie": {f"a{number}": 1 for number in range(1_000)}},
        {"messages": [{f"a{number}": 1 for number in range(100)}] * 50},
    ],
)
def test_many_unknown_fields_are_refused_before_each_becomes_an_error(served: Served, body: dict[str, Any]) -> None:
    assert checked(served.post(body))["code"] == "unknown_field"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (GENERATE, {"prompt": "0 " * 60}, "prompt"),
        (GENERATE, {"messages": [{"role": "user", "content": "0 " * 60}]}, "messages"),
        ("/v1/completions", {"model": "tie", "prompt": "0 " * 60}, "prompt"),
        ("/v1/chat/completions", {"model": "tie", "messages": [{"role": "user", "content": "0 " * 60}]}, "messages"),
    ],
)
def test_a_prompt_that_no_member_can_read_has_the_code_that_clients_know(
    served: Served, path: str, body: dict[str, Any], param: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served.service.lifecycle.loaded is not None
    for member in served.service.lifecycle.loaded.members.values():
        monkeypatch.setattr(member.model, "max_positions", 100)

    response = served.client.post(path, json=body)

    error = checked(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", param)
    assert "exceeds zoo-llada's 100 positions: shorten by" in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (GENERATE, {"messages": []}, "messages: send 1 at least"),
        (GENERATE, {"messages": [{"role": "user", "content": "x"}] * 1_025}, "messages: send 1,024 at most"),
        (GENERATE, {"prompt": "x", "models": []}, "models: send 1 at least"),
        (GENERATE, {"prompt": "x", "stop": ["x"] * 5}, "stop: send 4 at most"),
        ("/v1/chat/completions", {"model": "tie", "messages": []}, "messages: send 1 at least"),
    ],
)
def test_a_list_of_another_length_is_refused_in_plain_words(
    served: Served, path: str, body: dict[str, Any], message: str
) -> None:
    assert checked(served.client.post(path, json=body))["message"] == message


@pytest.mark.parametrize(
    ("name", "hints"),
    [
        ("model", ("`ensemble`", "`models`")),
        ("max_tokens", ("`gen_length`", "`reasoning_length`", "`answer.length`")),
        ("max_completion_tokens", ("`gen_length`", "`reasoning_length`", "`answer.length`")),
    ],
)
def test_a_field_of_openais_is_told_its_name_here(served: Served, name: str, hints: tuple[str, ...]) -> None:
    error = checked(served.post({"prompt": "x", name: 8}))

    assert (error["code"], error["param"]) == ("unknown_field", name)
    assert all(hint in error["message"] for hint in hints)


def test_a_failure_that_would_come_again_is_not_called_retryable(served: Served) -> None:
    error = checked(served.post({"prompt": POISON}))
    last = served.events({"prompt": POISON})[-1]

    assert "try it again" not in error["message"]
    assert "likely to fail again: change it or ask other models" in error["message"]
    assert (last["error"], last["retryable"]) == (error, False)


def test_an_unknown_field_lists_the_known_ones(served: Served) -> None:
    message = checked(served.post({"prompt": "x", "colour": 1}))["message"]

    assert all(name in message for name in ("prompt", "reasoning_length", "unmasking", "events"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"'x'",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        '{"prompt": "x"}'.encode("utf-16"),
        b'{"prompt": NaN}',
        b'{"prompt": "x", "unmasking": {"tau": Infinity}}',
        b'{"prompt": "x", "unmasking": {"tau": 1e999}}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "x", "\\udfff": 1}',
        b'{"prompt": "x", "gen_length": ' + b"9" * 5_000 + b"}",
    ],
    ids=range(12),
)
def test_what_is_no_json_is_refused(served: Served, raw: bytes) -> None:
    response = served.client.post(GENERATE, content=raw, headers={"content-type": "application/json"})

    assert response.status_code == 400
    assert checked(response)["code"] == "invalid_json"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 1_000_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"prompt":' * 100_000,
        b'{"prompt":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" + b"[]," * 300_000 + b"0]",
        b"[" + b"{}," * 300_000 + b"0]",
        b"[" + b'"",' * 300_000 + b"0]",
        b"[" + b"1.5," * 200_000 + b"0]",
        b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}",
        b'{"prompt": [' + b"0," * 20_000 + b"0]}",
        b'{"prompt": "[[", "task": ' + b"[" * 32 + b"]" * 32 + b"}",
    ],
    ids=range(11),
)
def test_what_is_too_complex_is_refused_before_it_is_built(
    served: Served, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "from_json", lambda raw: 1 / 0)

    response = served.client.post(GENERATE, content=raw, headers={"content-type": "application/json"})

    assert response.status_code == 400
    error = checked(response)
    assert error["code"] == "body_too_complex"
    assert "20,000" in error["message"] or "32" in error["message"]


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 32 + b"]" * 32,
        b"[" + b"0," * 19_998 + b"0]",
        b"[" + b"[]," * 9_000 + b"0]",
        b'"' + b'[{\\"' * 100_000 + b'"',
        b'"' + b"[" * 100_000,
        b'{"a": "\\\\", "b": "[[["}',
        b"]" * 1_000_000,
        b"," * 1_000_000,
        b"",
    ],
    ids=range(9),
)
def test_complexity_is_told_by_brackets_outside_of_text(raw: bytes) -> None:
    check_complexity(raw)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_only_json_is_taken(served: Served, media_type: str) -> None:
    response = served.client.post(GENERATE, content=b'{"prompt": "x"}', headers={"content-type": media_type})

    assert response.status_code == 415
    assert checked(response)["code"] == "unsupported_media_type"


def test_a_charset_beside_the_media_type_is_fine(served: Served) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}

    response = served.client.post(GENERATE, content=json.dumps({"prompt": PROMPT}), headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/livez/", 404, "not_found"),
        ("GET", f"/{SECRET}", 404, "not_found"),
        ("GET", GENERATE, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("FROB", "/livez", 405, "method_not_allowed"),
    ],
)
def test_routes_that_do_not_exist(served: Served, method: str, path: str, status: int, code: str) -> None:
    response = served.client.request(method, path)

    assert (response.status_code, checked(response)["code"]) == (status, code)
    assert SECRET not in response.text
    assert len(response.headers.get_list("allow")) == (status == 405)


def test_a_wrong_method_is_told_every_right_one(served: Served) -> None:
    assert served.client.put("/livez").headers["allow"] == "GET, HEAD"
    assert served.client.put("/v1/tie/requests/tie-0").headers["allow"] == "DELETE, GET"


def test_a_body_that_promises_too_much_is_refused_unread(served: Served) -> None:
    response = served.post({"prompt": "x" * 4_000_000})

    assert response.status_code == 413
    assert checked(response)["code"] == "body_too_large"


def test_a_body_that_grows_too_large_is_cut_while_it_streams(served: Served) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(50):
            yield b"x" * 100_000

    headers = {"content-type": "application/json"}
    response = served.client.post(GENERATE, content=chunks(), headers=headers)

    assert response.status_code == 413
    assert checked(response)["code"] == "body_too_large"


def test_a_body_that_does_not_come_times_out(served: Served) -> None:
    host, port = served.client.base_url.host, served.client.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=10) as connection:
        head = f"POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: 9\r\n\r\n{{".encode())

        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer


def mutated(seed: int) -> bytes:
    """A good body with a secret prompt, after a few byte mutations or with a poisonous piece."""
    chance = random.Random(seed)
    body = bytearray(
        json.dumps({"prompt": SECRET, "reasoning_length": 2, "answer": {"length": 2}, "stream": False}).encode()
    )
    pieces = (b"NaN", b"-Infinity", b"\\ud83d", b"\xff", b"\x00", b"[" * 100_000, b'{"a":' * 1_000, b"1e400", b"\\u00")
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(body))
        match chance.randrange(5):
            case 0:
                body[at] = chance.randrange(256)
            case 1:
                del body[at : at + chance.randint(1, 12)]
            case 2:
                body.insert(at, chance.randrange(256))
            case 3:
                body[at:at] = body[: chance.randrange(len(body))]
            case _ if chance.random() < 0.3:
                body[at:at] = chance.choice(pieces)
        body = body or bytearray(b"x")
    return bytes(body)


@pytest.mark.slow
def test_malformed_bodies_do_no_harm(
    served: Served, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    num_malformed = numbers(500, 2_000)
    statuses: dict[int, int] = {}
    for seed in range(num_malformed):
        response = served.client.post(GENERATE, content=mutated(seed), headers={"content-type": "application/json"})
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        if response.status_code != 200:
            checked(response)
            assert not {"zanzibar", "kettle", "4417"} & set(response.text.split()), response.text

    figure(f"malformed: {num_malformed} bodies, answers by status {dict(sorted(statuses.items()))}")
    assert all(status < 500 for status in statuses)
    assert statuses[400] > num_malformed / 2
    assert "zanzibar" not in served.log.getvalue()
    assert served.post({"prompt": PROMPT}).status_code == 200


def test_a_canvas_that_no_memory_holds_is_told_what_to_do(served: Served) -> None:
    response = served.post({"prompt": HUGE})

    error = checked(response)
    assert (response.status_code, error["code"]) == (503, "out_of_memory")
    assert "too little memory on cpu" in error["message"]
    assert "shorten the prompt or gen_length" in error["message"]
    assert HUGE not in error["message"]
    assert served.post({"prompt": PROMPT}).status_code == 200


def test_what_a_start_has_measured_is_logged(served: Served) -> None:
    told = [line for line in served.lines if line["event"] == "warmed up"]

    assert [line["model"] for line in told] == list(NAMES)
    assert all(line["threads"] == 1 and line["max_positions"] > 0 and line["position_us"] > 0 for line in told)


def test_every_error_of_the_core_has_an_entry() -> None:
    kinds = [kind for kind in vars(core).values() if isinstance(kind, type) and issubclass(kind, core.TieError)]

    found = {
        kind.__name__: api_error(kind(None, "x") if issubclass(kind, core.RequestError) else kind("x"))
        for kind in kinds
    }

    assert found["MemberError"].code == "member_failed"
    assert found["InternalError"].code == found["TieError"].code == "internal_error"
    assert all(error.status in (400, 404, 409, 500, 503, 504) for error in found.values())
    assert set(TABLE) - {Exception} <= set(kinds)
    final = {name for name, error in found.items() if error.headers.get("x-should-retry") == "false"}
    assert final == {"MemberError", "CancelledError"}


def test_a_bug_is_told_without_its_words() -> None:
    error = api_error(RuntimeError(f"at 0x7f {SECRET} /root"))

    assert (error.status, error.code, error.param) == (500, "internal_error", None)
    assert SECRET not in str(error)


def test_a_bug_in_a_route_has_the_one_shape_and_leaves_no_text(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(*asked: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(served.service.runs, "admit", stumble)
    response = served.post({"prompt": SECRET})

    assert response.status_code == 500
    assert checked(response)["code"] == "internal_error"
    own_id = response.headers["x-request-id"]
    wait_until(lambda: any(line.get("request_id") == own_id and "status" in line for line in served.lines))
    (told,) = [line for line in served.lines if line["event"] == "exception" and line["request_id"] == own_id]
    assert told["kind"] == "RuntimeError"
    assert told["frames"][-1].endswith("stumble")
    assert SECRET not in response.text + served.log.getvalue()


def test_options_are_named_as_on_the_wire() -> None:
    error = api_error(core.OptionsError("scored_positions", "out of range"))

    assert error.param == "answer.scored_positions"
