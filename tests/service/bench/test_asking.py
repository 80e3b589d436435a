"""Options reach the native route by its own names; what a server answers is a reply or one clear error."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from service.bench.asking import Reply, ask_openai, ask_tie, first_model, open_client
from service.client import ServerError
from service.option_places import body_of
from service.schemas import parse_generate
from tie_core.errors import OptionsError, RequestError
from tie_core.options import TieOptions

OPTIONS = {
    "task": "general",
    "gen_length": 64,
    "reasoning": 40,
    "answer": 8,
    "suffix": "",
    "block_size": 8,
    "scored_positions": 4,
    "interval": 4,
    "score": "top1",
    "cross_model": False,
    "selection": "best_model",
    "best_model": "a",
    "calibration": {"a": {"top1": {"intercept": -0.5, "slope": 2.0}}},
    "relay_boundary": "step",
    "min_models": 2,
    "policy": "threshold",
    "k": 2,
    "tau": 0.5,
    "suppress_end": "confidence",
    "factor": 0.5,
    "gamma": 0.1,
    "fill_end": True,
    "early_commit": True,
    "early_commit_margin": 0.8,
    "cache": "window",
    "refresh_interval": 8,
}
ANSWER = {"usage": {"prompt_tokens": 3, "completion_tokens": 8}, "choices": [{"message": {"content": "x"}}]}


def test_every_option_of_the_library_has_its_place_in_the_body() -> None:
    body = json.dumps({"prompt": "x", **body_of(OPTIONS)}).encode()

    assert parse_generate(body).options() == OPTIONS
    assert OPTIONS.keys() == {field.name for field in fields(TieOptions)}


def test_an_option_without_a_place_is_refused() -> None:
    with pytest.raises(OptionsError, match="has no field 'of_tomorrow'"):
        body_of({"of_tomorrow": 1})


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A server that gives one answer to everything, and what it was sent."""
    said: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.answer()

        def do_GET(self) -> None:
            said.append((self.path, None))
            self.answer()

        def answer(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", said
        finally:
            server.shutdown()
            thread.join()


async def asked_openai(url: str) -> Reply:
    async with open_client(f"{url}/v1") as client:
        return await ask_openai(client, "m", 64)("how far?")


def test_another_server_is_asked_for_a_greedy_chat_completion() -> None:
    with answering(200, json.dumps(ANSWER).encode()) as (url, said):
        reply = asyncio.run(asked_openai(url))

    assert reply["usage"]["completion_tokens"] == 8
    messages = [{"role": "user", "content": "how far?"}]
    body = {"model": "m", "max_tokens": 64, "temperature": 0, "messages": messages}
    assert said == [("/v1/chat/completions", body)]


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (200, b"{}", ServerError, "tells no `usage`"),
        (200, b"<html>", ServerError, "gives no JSON"),
        (200, b"[1]", ServerError, "HTTP 200: no reason given"),
        (503, b'{"error": {"message": "full"}}', ServerError, "HTTP 503: full"),
        (500, b'{"error": "broken"}', ServerError, "HTTP 500: no reason given"),
        (400, b'{"error": {"message": "no such model", "param": "model"}}', RequestError, "no such model"),
    ],
)
def test_what_is_no_reply_is_one_clear_error(status: int, body: bytes, error: type[Exception], message: str) -> None:
    with answering(status, body) as (url, _), pytest.raises(error, match=message):
        asyncio.run(asked_openai(url))


@pytest.mark.parametrize("url", ["127.0.0.1:1", "http://["])
def test_a_server_that_is_not_there_is_one_clear_error(url: str) -> None:
    with pytest.raises(ServerError):
        asyncio.run(asked_openai(url))


def test_the_first_model_listed_is_asked_if_none_is_named() -> None:
    async def find(url: str) -> str:
        async with open_client(url) as client:
            return await first_model(client)

    with answering(200, b'{"data": [{"id": "first"}, {"id": "second"}]}') as (url, said):
        assert asyncio.run(find(url)) == "first"
    assert said == [("/v1/models", None)]
    with answering(200, b'{"data": []}') as (url, _), pytest.raises(ServerError, match="--openai-model"):
        asyncio.run(find(url))


def test_a_tie_server_is_asked_on_its_native_route() -> None:
    async def ask(url: str) -> Reply:
        async with open_client(url) as client:
            return await ask_tie(client, {"score": "top1"}, models=["a"], ensemble=None)("how far?")

    with answering(200, json.dumps(ANSWER).encode()) as (url, said):
        asyncio.run(ask(url))

    messages = [{"role": "user", "content": "how far?"}]
    assert said == [("/v1/tie/generate", {"tie": {"score": "top1"}, "models": ["a"], "messages": messages})]
