"""Following the events of a request: how many may, what a body on the way costs, what counts as merged."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import cast

import pytest

import service.followers
from service.errors import ApiError
from service.followers import Followers
from service.record import Record
from service.routes.openai import CHAT
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


@pytest.fixture
def events(served: Served) -> str:
    """The events of a request that has ended."""
    run_id = served.post({"prompt": PROMPT, "events": "step"}).json()["id"]
    return f"/v1/tie/requests/{run_id}/events"


def record(run_id: str, owner: str | None) -> Record:
    return cast(Record, SimpleNamespace(id=run_id, owner=owner))


def test_followers_of_a_run_and_of_a_key_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.followers, "MOST_OF_A_RUN", 2)
    monkeypatch.setattr(service.followers, "MOST_OF_A_KEY", 3)
    followers, first, second = Followers(), record("a", "mine"), record("b", "mine")
    with ExitStack() as stack:
        for run in (first, first, second):
            stack.enter_context(followers.one_more(run))

        for run, what in ((first, "this request"), (second, "one API key")):
            with pytest.raises(ApiError, match=what) as caught, followers.one_more(run):
                pass
            assert caught.value.status == 429
        with followers.one_more(record("c", "others")):
            pass
    with followers.one_more(first):
        pass


def test_one_follower_too_many_is_told_when_to_come_back(
    served: Served, events: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.followers, "MOST_OF_A_RUN", 0)

    response = served.client.get(events)

    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert response.json()["error"]["code"] == "too_many_followers"


@pytest.mark.parametrize("head", ["content-length: 99999999", "content-length: 99999999\r\nexpect: 100-continue"])
def test_a_body_that_nobody_reads_breaks_no_stream(served: Served, events: str, head: str) -> None:
    url = served.client.base_url
    assert url.port is not None
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(f"GET {events} HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            part = connection.recv(65_536)
            assert part, answer[-200:]
            answer += part

    assert b"event: tie.completed" in answer
    assert not [line for line in served.lines if line["event"] == "exception"]


def test_steps_that_a_follower_of_rounds_leaves_out_are_not_merged(served: Served, events: str) -> None:
    before = served.metric("tie_stream_states_merged_total", endpoint=GENERATE)

    assert '"skipped":' in served.client.get(events + "?events=round").text
    assert served.metric("tie_stream_states_merged_total", endpoint=GENERATE) == before


def test_an_answer_was_created_when_its_run_was(served: Served) -> None:
    body = {"model": "tie", "messages": [{"role": "user", "content": PROMPT}]}
    headers = {"idempotency-key": "created"}

    first = served.client.post(CHAT, json=body, headers=headers).json()
    time.sleep(1.1)
    again = served.client.post(CHAT, json=body, headers=headers)

    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["created"] == first["created"]
