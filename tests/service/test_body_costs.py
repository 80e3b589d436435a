"""A body of any content costs little more than reading its JSON: nobody holds the process with a long list."""

import time
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.encoding import from_json
from service.errors import ApiError
from service.loading import Loaded
from service.openai_schemas import Kind, parse_openai
from service.schemas import parse_generate

NUM_ITEMS = 10_000
MOST = 40  # times what reading the JSON costs; an error for every item costs hundreds of times that
ITEMS = ("0", '""', "{}", "[]", "null", "true")
LISTS = ("messages", "stop", "models", "answer", "tie", "unmasking", "prompt", "seed", "events")


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of a few times."""
    times = []
    for _ in range(2):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return min(times)


def refused(parse: Callable[[], object]) -> Callable[[], None]:
    def attempt() -> None:
        with pytest.raises(ApiError) as caught:
            parse()
        assert caught.value.status in (400, 404)

    return attempt


def bodies(beside: str) -> list[bytes]:
    longest = [f"[{','.join([item] * NUM_ITEMS)}]" for item in ITEMS]
    widest = "{" + ",".join(f'"k{number}":0' for number in range(NUM_ITEMS // 4)) + "}"
    bodies = [f'{{{beside},"{name}":{items}}}'.encode() for name in LISTS for items in (*longest, widest)]
    return [*bodies, f'{{{beside},"messages":[{{"role":"user","content":{longest[0]}}}]}}'.encode(), widest.encode()]


def loaded() -> Loaded:
    return cast(Loaded, SimpleNamespace(ensembles={"tie": SimpleNamespace(members=())}, members={}))


def test_a_native_body_costs_no_more_than_its_json(figure: Callable[[str], None]) -> None:
    ratios = []
    for raw in bodies('"seed":1'):
        read, parsed = (
            cpu_seconds(lambda raw=raw: from_json(raw)),
            cpu_seconds(refused(lambda raw=raw: parse_generate(raw))),
        )  # type: ignore[misc]
        ratios.append((parsed / read, raw[:40]))
    figure(f"bodies: {len(ratios)} of long lists, at most {max(ratios)[0]:.1f} x the CPU time of reading their JSON")
    assert max(ratios)[0] < MOST, max(ratios)


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_an_openai_body_costs_no_more_than_its_json(kind: Kind) -> None:
    known: Any = loaded()
    for raw in bodies('"model":"tie"'):
        read, parsed = cpu_seconds(lambda raw=raw: from_json(raw)), cpu_seconds(lambda raw=raw: tried(raw, kind, known))  # type: ignore[misc]
        assert parsed < MOST * read, (parsed / read, raw[:40])


def tried(raw: bytes, kind: Kind, known: Loaded) -> None:
    """An ignored field refuses nothing."""
    with suppress(ApiError):
        parse_openai(raw, kind, known)


def test_a_fifth_stop_string_is_refused() -> None:
    assert parse_generate(b'{"prompt":"a","stop":["a","b","c","d"]}').stop == ["a", "b", "c", "d"]

    with pytest.raises(ApiError) as caught:
        parse_generate(b'{"prompt":"a","stop":["a","b","c","d","e"]}')
    assert (caught.value.status, caught.value.param) == (400, "stop")
