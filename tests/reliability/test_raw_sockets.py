"""Bytes that are no good HTTP, or good HTTP in bad faith: refused in the one shape, in time, at nobody else's cost."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from service.settings import LimitSettings
from tests.reliability.asking import GENERATE
from tests.reliability.hostile import CANARY, Growth, check_answers, check_nothing_is_told, send
from tests.reliability.members import echoing
from tests.reliability.probing import LATEST, probing
from tests.reliability.processes import Serving, serving_process
from tests.service.fakes import fake_settings
from tests.service.served import wait_until

OTHERS_SECONDS: Final = 0.1  # of 99 in 100 answers to other clients
GAUGES: Final = ("tie_requests_running{", "tie_requests_waiting{")
LIMITS = LimitSettings(
    header_seconds=0.5, body_seconds=0.5, keep_alive_seconds=1, max_body_bytes=200_000, max_kept_runs=8
)
GOOD = json.dumps({"prompt": CANARY, "reasoning_length": 2, "answer": {"length": 2}}).encode()
HEADERS = f"POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n".encode()
CLOSE = b"connection: close\r\n"
JUNK = tuple(bytes([number]) for number in (0, 7, 10, 13, 32, 58, 127, 128, 192, 255))

Case = tuple[list[bytes], float]  # what is sent, and the pause after each part


def valid(body: bytes = GOOD, more: bytes = CLOSE) -> bytes:
    return HEADERS + more + f"content-length: {len(body)}\r\n\r\n".encode() + body


def mutated(chance: random.Random) -> Case:
    raw = bytearray(valid())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(raw))
        match chance.randrange(4):
            case 0:
                raw[at : at + 1] = chance.choice(JUNK)
            case 1:
                del raw[at : at + chance.randint(1, 20)]
            case 2:
                raw[at:at] = chance.choice(JUNK) * chance.randint(1, 40)
            case _:
                raw[at:at] = raw[: chance.randrange(len(raw))]
    return [bytes(raw)], 0


def bad_chunks(chance: random.Random) -> Case:
    sizes = (b"zz", b"-1", b"ffffffffffffffffff", b"5;" + b"x" * 40_000, b"", b" 5", b"5\x00", b"0x5", b"\xff")
    head = HEADERS + CLOSE + b"transfer-encoding: chunked\r\n\r\n"
    return [head, b'5\r\n{"pro\r\n', chance.choice(sizes) + b"\r\nhello\r\n", b"0\r\n\r\n"], 0.001


def wrong_lengths(chance: random.Random) -> Case:
    lengths = (b"-1", b"+5", b"1e3", b"99999999999999999999999999", b"5, 6", b"\xb2", b"0x10", b"", b" ", b"5 5")
    twice = b"content-length: 5\r\ncontent-length: 6\r\n"
    both = b"content-length: 5\r\ntransfer-encoding: chunked\r\n"
    length = b"content-length: " + chance.choice(lengths) + b"\r\n"
    return [HEADERS + CLOSE + chance.choice((twice, both, length)) + b"\r\n" + GOOD], 0


def many_headers(chance: random.Random) -> Case:
    count = chance.choice((101, 1_000, 100_000))
    return [HEADERS + b"".join(b"a%d: b\r\n" % number for number in range(count)) + b"\r\n"], 0


def large_header(chance: random.Random) -> Case:
    megabytes = chance.choice((0.04, 1, 1, 1, 4))
    return [HEADERS + b"x: "] + [CANARY.encode() * 3_000] * int(megabytes * 16 + 1), 0


def slow_headers(chance: random.Random) -> Case:
    return [HEADERS, *[b"a: b\r\n"] * 8], 0.1


def slow_body(chance: random.Random) -> Case:
    return [HEADERS + CLOSE + b"content-length: 1000\r\n\r\n", *[b"{"] * 8], 0.1


def short_body(chance: random.Random) -> Case:
    return [HEADERS + CLOSE + b"content-length: 1000\r\n\r\n" + GOOD], 0


def large_body(chance: random.Random) -> Case:
    return [HEADERS + CLOSE + b"content-length: 1000000\r\n\r\n"] + [b"x" * 100_000] * 10, 0


def body_for_nobody(chance: random.Random) -> Case:
    return [f"POST /{CANARY} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900000\r\n\r\n".encode(), b"x" * 200_000], 0


def pipelined(chance: random.Random) -> Case:
    probe = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    return [probe * chance.randint(1, 30) + valid() + b"\x00\r\n\r\n"], 0


def expecting(chance: random.Random) -> Case:
    return [HEADERS + CLOSE + b"expect: 100-continue\r\ncontent-length: 900000\r\n\r\n", GOOD], 0.01


def odd_targets(chance: random.Random) -> Case:
    targets = (
        "*",
        "//",
        "http://x",
        f"/{CANARY}",
        "/%00",
        "/%ff%fe",
        "/v1/../../etc/passwd",
        "/" + "a" * 20_000,
        "x:1",
    )
    methods = ("GET", "POST", "CONNECT", "TRACE", "OPTIONS", "PRI", "A" * 300)
    head = f"{chance.choice(methods)} {chance.choice(targets)} HTTP/1.1\r\nhost: localhost\r\n"
    return [head.encode() + CLOSE + b"\r\n"], 0


def upgrades(chance: random.Random) -> Case:
    upgrade = chance.choice((b"websocket", b"h2c", b"TLS/1.0"))
    return [
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, close\r\nupgrade: " + upgrade + b"\r\n\r\n"
    ], 0


def other_protocols(chance: random.Random) -> Case:
    tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500
    return [
        chance.choice((tls, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 2_000, b"SSH-2.0-x\r\n", b"GET /\r\n\r\n"))
    ], 0


def bad_utf8(chance: random.Random) -> Case:
    return [valid(GOOD.replace(b"kettle", chance.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\0"))))], 0


CASES: tuple[Callable[[random.Random], Case], ...] = (
    mutated,
    mutated,
    mutated,
    bad_chunks,
    wrong_lengths,
    many_headers,
    large_header,
    slow_headers,
    slow_body,
    short_body,
    large_body,
    body_for_nobody,
    pipelined,
    expecting,
    odd_targets,
    odd_targets,
    upgrades,
    other_protocols,
    bad_utf8,
)


async def attack(url: str, seeds: range) -> list[tuple[str, list[int]]]:
    limit = asyncio.Semaphore(8)

    async def one(seed: int) -> tuple[str, list[int]]:
        make = CASES[seed % len(CASES)]
        parts, pause = make(random.Random(seed))
        async with limit:
            return make.__name__, check_answers(await send(url, parts, pause))

    return await asyncio.gather(*(one(seed) for seed in seeds))


def is_at_rest(serving: Serving) -> bool:
    """No request runs or waits."""
    told = [line for line in serving.get("/metrics").text.splitlines() if line.startswith(GAUGES)]
    return all(line.endswith(" 0.0") for line in told)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_raw_requests_do_no_harm(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    num_sent = numbers(95, 2_000)
    with serving_process(fake_settings(limits=LIMITS), echoing, tmp_path / "log") as serving:
        asyncio.run(attack(serving.url, range(len(CASES) * numbers(5, 20))))  # what is allocated once is no growth
        growth, files = Growth(serving), serving.facts()["descriptors"]
        with probing(serving.url) as probes:
            answers = asyncio.run(attack(serving.url, range(1_000, 1_000 + num_sent)))
        wait_until(lambda: serving.facts()["descriptors"] <= files, 30)
        megabytes = growth.megabytes
        wait_until(lambda: is_at_rest(serving))
        check_nothing_is_told(serving)

    times = serving.loop_times()
    statuses = Counter(status for _, each in answers for status in each)
    silent = Counter(name for name, each in answers if not each)
    figure(
        f"raw sockets: {num_sent} requests, answers by status {dict(sorted(statuses.items()))},"
        f" {silent.total()} cut without one, {megabytes:+.1f} MB; {probes.words}; {times.words}"
    )
    assert {200, 400, 408, 413, 431} <= set(statuses)
    assert megabytes < 5
    assert times.longest < LATEST, times.worst
    assert not probes.are_late(OTHERS_SECONDS), probes.words


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_header_of_64_megabytes_is_not_kept(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    parts = [HEADERS + b"x: "] + [b"x" * 1_000_000] * 64
    with serving_process(fake_settings(limits=LIMITS), echoing, tmp_path / "log") as serving:
        asyncio.run(send(serving.url, parts[:3]))
        growth = Growth(serving)
        for _ in range(numbers(2, 10)):
            answer = asyncio.run(send(serving.url, parts))
            assert check_answers(answer) in ([], [431])
        megabytes = growth.megabytes

    figure(f"raw sockets: heads of 64 MB, {megabytes:+.1f} MB")
    assert megabytes < 5
