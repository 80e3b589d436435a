"""Bodies that were valid before somebody changed them, to every route that takes one: no bug, no echo, no growth."""

import json
import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from service.settings import LimitSettings
from tests.reliability.asking import CHAT, COMPLETIONS, GENERATE
from tests.reliability.hostile import CANARY, Growth, check_error, check_nothing_is_told
from tests.reliability.members import echoing
from tests.reliability.probing import LATEST, Probes, probing
from tests.reliability.processes import Serving, serving_process
from tests.service.fakes import fake_settings

OTHERS_SECONDS: Final = 0.1  # of 99 in 100 answers to other clients
SMALL: dict[str, Any] = {"reasoning_length": 2, "answer": {"length": 2}, "stream": False}
JSON = {"content-type": "application/json"}
MESSAGES = [{"role": "user", "content": CANARY}]
BODIES: dict[str, dict[str, Any]] = {
    GENERATE: {
        "prompt": CANARY,
        **SMALL,
        "tie": {"interval": 2, "score": "tcc"},
        "unmasking": {"policy": "top_k", "k": 1},
    },
    CHAT: {"model": "tie", "messages": MESSAGES, "max_tokens": 16, "temperature": 0, "stop": ["x"]},
    COMPLETIONS: {"model": "tie", "prompt": CANARY, "max_tokens": 16, "temperature": 0, "seed": 1},
}
PIECES = (
    b"NaN",
    b"-Infinity",
    b"\\ud83d",
    b"\xff",
    b"\x00",
    b"[" * 20_000,
    b'{"a":' * 1_000,
    b"1e400",
    b"\\u00",
    b"9" * 5_000,
)
WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    "",
    CANARY,
    "../../../etc/passwd",
    "http://127.0.0.1:1/",
    "<|endoftext|><|mdm_mask|>",
    [],
    [[]],
    {},
    {CANARY: CANARY},
    ["x"] * 1_000,
    "x" * 10_000,
)


def posts(serving: Serving) -> list[str]:
    """The routes that take a body, by the server's own page."""
    page = serving.get("/openapi.json").json()
    return [path for path, methods in page["paths"].items() if "post" in methods]


def places(body: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value in a body."""
    found = [at] if at else []
    for key, value in body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ():
        found += places(value, (*at, key))
    return found


def with_a_wrong_value(body: dict[str, Any], chance: random.Random) -> bytes:
    changed = json.loads(json.dumps(body))
    for _ in range(chance.randint(1, 2)):
        *path, last = chance.choice(places(changed))
        holder = changed
        for key in path:
            holder = holder[key]
        match chance.randrange(4):
            case 0 if isinstance(holder, dict):
                holder[chance.choice((CANARY, "", "constructor", "__class__", last + " "))] = holder.pop(last)
            case 1 if isinstance(holder, dict):
                holder[chance.choice(("models", "ensemble", "model", "n", "tools", "task"))] = deepcopy(
                    chance.choice(WRONG)
                )
            case _:
                holder[last] = deepcopy(chance.choice(WRONG))
    return json.dumps(changed).encode()


def with_wrong_bytes(body: dict[str, Any], chance: random.Random) -> bytes:
    raw = bytearray(json.dumps(body).encode())
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(raw))
        match chance.randrange(5):
            case 0:
                raw[at] = chance.randrange(256)
            case 1:
                del raw[at : at + chance.randint(1, 12)]
            case 2:
                raw.insert(at, chance.randrange(256))
            case 3:
                raw[at:at] = raw[: chance.randrange(len(raw))]
            case _ if chance.random() < 0.3:
                raw[at:at] = chance.choice(PIECES)
        raw = raw or bytearray(b"x")
    return bytes(raw)


def with_a_wrong_whole(body: dict[str, Any], chance: random.Random) -> bytes:
    whole = chance.choice((*WRONG, [body], [None, None], {"": body}, dict.fromkeys(map(str, range(5_000)))))
    return json.dumps(whole).encode()


def attack(serving: Serving, seeds: range) -> Counter[int]:
    statuses: Counter[int] = Counter()
    paths = posts(serving)
    with httpx.Client(base_url=serving.url, trust_env=False, timeout=60) as client:
        for seed in seeds:
            chance = random.Random(seed)
            path = paths[seed % len(paths)]
            body = BODIES.get(path, BODIES[GENERATE])
            raw = chance.choice(
                (with_a_wrong_value, with_a_wrong_value, with_wrong_bytes, with_wrong_bytes, with_a_wrong_whole)
            )(body, chance)
            response = client.post(path, content=raw, headers=JSON)
            statuses[response.status_code] += 1
            if response.status_code != 200:
                check_error(response.status_code, response.content)
                assert response.headers["x-request-id"].startswith("tie-")
                assert not {"zanzibar", "kettle", "4417"} & set(response.text.replace("-", " ").split()), response.text
    return statuses


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_changed_bodies_do_no_harm(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    num_sent = numbers(150, 10_000)
    limits = LimitSettings(max_prompt_chars=5_000, max_kept_runs=8)  # what is kept for replays is no growth
    settings = fake_settings(limits=limits)
    with serving_process(settings, echoing, tmp_path / "log") as serving:
        attack(serving, range(numbers(100, 1_000)))  # what is allocated once is no growth
        growth = Growth(serving)
        with probing(serving.url) as probes:
            statuses = attack(serving, range(100_000, 100_000 + num_sent))
        megabytes = growth.megabytes
        num_routes = len(posts(serving))
        check_nothing_is_told(serving)

    times = serving.loop_times()
    figure(
        f"hostile bodies: {num_sent} over {num_routes} routes, answers by status {dict(sorted(statuses.items()))},"
        f" {megabytes:+.1f} MB; {probes.words}; {times.words}"
    )
    assert all(status < 500 for status in statuses)
    assert statuses[400] > num_sent / 3
    assert megabytes < 5
    assert times.longest < LATEST, times.worst
    assert not probes.are_late(OTHERS_SECONDS), probes.words


COMPLEX: dict[str, bytes] = {
    "open lists": b"[" * 1_000_000,
    "open objects": b'{"a":' * 200_000,
    "many lists": b"[" + b"[]," * 333_000 + b"0]",
    "many objects": b"[" + b"{}," * 333_000 + b"0]",
    "many texts": b"[" + b'"",' * 333_000 + b"0]",
    "many numbers": b"[" + b"0," * 500_000 + b"0]",
    "many names": b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}",
    "a text of escapes": b'"' + b'\\"' * 500_000,
}


@pytest.mark.timeout(600)
def test_a_megabyte_of_brackets_holds_nobody_up(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    """`/livez` takes no longer beside them than beside a megabyte of harmless text, but for what the machine does."""
    harmless = json.dumps({"prompt": "x" * 1_000_000}).encode()
    rounds = numbers(2, 30)
    with serving_process(fake_settings(), echoing, tmp_path / "log") as serving:

        def attacked(bodies: list[bytes]) -> Probes:
            with (
                httpx.Client(base_url=serving.url, trust_env=False, timeout=60) as client,
                probing(serving.url) as probes,
            ):
                for body in bodies * rounds:
                    assert client.post(GENERATE, content=body, headers=JSON).status_code == 400
            return probes

        plain = attacked([harmless] * len(COMPLEX))
        beside = attacked(list(COMPLEX.values()))

    times = serving.loop_times()
    figure(f"JSON of a megabyte: {beside.words}; beside harmless text p99 {plain.p99 * 1000:.1f} ms; {times.words}")
    assert times.longest < LATEST, times.worst
    assert not beside.are_late(max(OTHERS_SECONDS, 3 * plain.p99)), beside.words
