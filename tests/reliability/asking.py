"""A client of every transport at once: asks, reads all or part, tells what it got."""

import asyncio
import json
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from service.bench.workload import WORDS

GENERATE: Final = "/v1/tie/generate"
CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
ACCEPT: Final = {"json": "application/json", "sse": "text/event-stream", "ndjson": "application/x-ndjson"}
TERMINAL: Final = ("tie.completed", "tie.error")
FLEETING: Final = frozenset({"id", "created", "t_ms", "timings", "queue_ms", "queue_position", "seq", "skipped"})
"""What is not the same from one run of a request to the next, by name, at any depth."""


@dataclass(slots=True)
class Reply:
    """What a client got. `status` is None where it left, or was left, before the first byte."""

    status: int | None = None
    request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    is_streamed: bool = False
    was_cut: bool = False

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The whole messages of a stream, in order: events, or OpenAI's chunks."""
        lines = self.text.splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        data = [line.removeprefix("data: ") for line in whole if line.startswith(("data: {", "{"))]
        return [json.loads(line) for line in data]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The whole events of a stream, in order; of OpenAI's, those that its chunks carry."""
        messages = self.messages
        carried = [
            each.get("tie", {"type": "tie.error", **each}) for each in messages if {"tie", "error"} & each.keys()
        ]
        return messages if "type" in (messages or [{}])[0] else carried

    @property
    def deltas(self) -> list[str]:
        """The texts of OpenAI's chunks: in a row they are the answer, or each is the whole text of its moment."""
        choices = [each["choices"][0] for each in self.messages if "choices" in each]
        return [each.get("delta", each).get("content") or each.get("text") or "" for each in choices]

    @property
    def has_ended(self) -> bool:
        """A whole response, or a stream with its one terminal event at its end."""
        if not self.is_streamed:
            return self.status is not None and not self.was_cut
        kinds = [event["type"] for event in self.events]
        return kinds[-1:] != [] and kinds[-1] in TERMINAL and sum(kind in TERMINAL for kind in kinds) == 1

    @property
    def result(self) -> Any:
        """The response object, or the error."""
        return self.events[-1] if self.is_streamed else json.loads(self.text)

    @property
    def is_right(self) -> bool:
        """It was answered, not refused or failed."""
        return self.status == 200 and self.has_ended and "error" not in self.result


async def ask(
    client: httpx.AsyncClient, body: Mapping[str, Any], transport: str = "json", *, cut_after: float | None = None
) -> Reply:
    """One request. `cut_after` so many seconds the client leaves."""
    reply = Reply()
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(cut_after):
            await _read(client, body, transport, reply)
            return reply
    reply.was_cut = True
    return reply


async def _read(client: httpx.AsyncClient, body: Mapping[str, Any], transport: str, reply: Reply) -> None:
    path = body.get("path", GENERATE)
    content = {name: value for name, value in body.items() if name != "path"}
    async with client.stream("POST", path, json=content, headers={"accept": ACCEPT[transport]}) as response:
        reply.status, reply.headers = response.status_code, dict(response.headers)
        reply.request_id = response.headers.get("x-request-id")
        reply.is_streamed = response.headers["content-type"].startswith(("text/event-stream", "application/x-ndjson"))
        async for part in response.aiter_text():
            reply.text += part


def lasting(value: Any) -> Any:
    """A result without what is fleeting."""
    if isinstance(value, dict):
        return {name: lasting(each) for name, each in value.items() if name not in FLEETING}
    return [lasting(each) for each in value] if isinstance(value, list) else value


def mixed_body(chance: random.Random, key: str, *, longest: int = 40) -> tuple[dict[str, Any], str]:
    """A request with a key somewhere in its prompt, of any length and options, and its transport."""
    words = chance.choices(WORDS, k=chance.randint(4, longest))
    words.insert(chance.randrange(len(words)), f"key {key};")
    body: dict[str, Any] = {
        "reasoning_length": chance.randint(4, 20),
        "answer": {"length": chance.randint(2, 8)},
        "tie": {"interval": chance.choice([4, 8, 16]), "score": chance.choice(["tcc", "top1", "entropy", "margin"])},
        "unmasking": {"policy": chance.choice(["top_k", "threshold"])},
    }
    prompt = " ".join(words)
    if chance.random() < 0.5:
        body["prompt"] = prompt
    else:
        body["messages"] = [{"role": "user", "content": prompt}]
    if chance.random() < 0.2:
        body["models"] = [chance.choice(["zoo-llada", "zoo-dream"])]
        body["tie"] = {"interval": 8}
    transport = chance.choice(sorted(ACCEPT))
    if transport != "json":
        body["events"] = chance.choice(["round", "step", "snapshot"])
    return body, transport


def as_openai(body: Mapping[str, Any], transport: str, *, is_diffusing: bool) -> tuple[dict[str, Any], str]:
    """The same request for one of OpenAI's routes, and its transport: those know no lines of JSON."""
    transport = "json" if transport == "json" else "sse"
    asked = {name: value for name, value in body.items() if name != "models"}
    (model,) = body.get("models", ["tie"])
    asked |= {"path": CHAT if "messages" in body else COMPLETIONS, "model": model, "stream": transport == "sse"}
    return asked | ({"diffusing": True} if is_diffusing and transport == "sse" else {}), transport


def open_client(url: str, num_connections: int = 100) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=num_connections, max_keepalive_connections=num_connections)
    return httpx.AsyncClient(base_url=url, timeout=120, limits=limits, trust_env=False)
