"""What one client sends, no other client, log line or metric ever shows; and nobody's answer depends on the others."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.reliability.asking import CHAT, COMPLETIONS, Reply, ask, lasting, open_client
from tests.reliability.members import echoing, zoo
from tests.reliability.probing import LATEST, probing
from tests.reliability.processes import Serving, serving_process
from tests.reliability.secrets import Errand, Keys, errands, runs, shown, texts
from tests.service.fakes import fake_settings
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

AT_ONCE = 40
PLACES = ("/metrics", "/info", "/version", "/v1/models", "/openapi.json")


async def run_errands(url: str, chosen: list[Errand], at_once: int) -> list[Reply]:
    """All of them, so many at once; those that are refused because of the others come back."""
    places = asyncio.Semaphore(at_once)
    async with open_client(url) as client:

        async def one(errand: Errand) -> Reply:
            async with places:
                while (reply := await ask(client, errand.body, errand.transport, cut_after=errand.cut_after)).status:
                    if reply.status != 503:
                        break
                    await asyncio.sleep(0.1)
                return reply

        return await asyncio.gather(*(one(errand) for errand in chosen))


def essence(reply: Reply) -> object:
    """The answer and, where they are told, its rounds."""
    rounds = [lasting(event) for event in reply.events if event["type"] == "tie.round"] if reply.is_streamed else []
    return lasting(reply.result), rounds


def spells_its_answer(reply: Reply) -> bool:
    """The texts of OpenAI's chunks come to the answer, in a row or as the text of the last moment."""
    if not (deltas := reply.deltas):
        return True
    return reply.text.endswith("data: [DONE]\n\n") and reply.result["text"] in ("".join(deltas), deltas[-1])


def public(serving: Serving) -> str:
    """What an operator sees: all that the process wrote, and every page."""
    with httpx.Client(base_url=serving.url, trust_env=False, timeout=30) as client:
        return "\n".join([serving.log(), *(client.get(path).text for path in PLACES)])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_secret_leaves_its_request(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    chosen = errands(numbers(100, 2_000), seed=4, longest=numbers(40, 300))
    keys = Keys(errand.key for errand in chosen)
    with serving_process(fake_settings(), echoing, tmp_path / "log") as serving:
        with probing(serving.url) as probes:
            replies = asyncio.run(run_errands(serving.url, chosen, AT_ONCE))
        told = public(serving)
        whole = [errand for errand, reply in zip(chosen, replies, strict=True) if not reply.was_cut]
        alone = asyncio.run(run_errands(serving.url, [Errand(e.key, e.body, e.transport, None) for e in whole], 1))

    num_own = 0
    for errand, reply in zip(chosen, replies, strict=True):
        found = keys.found(shown(reply))
        assert found <= {errand.key}, "a foreign secret"
        num_own += len(found)
    assert not keys.found(runs([told])), "a secret is told to operators"
    assert not [errand.key for errand in chosen if errand.key in told]
    answered = [reply for reply in replies if not reply.was_cut]
    assert all(reply.is_right for reply in answered)
    assert all(spells_its_answer(reply) for reply in answered)
    assert [essence(reply) for reply in answered] == [essence(reply) for reply in alone]
    times = serving.loop_times()
    figure(
        f"secrets: {len(chosen)} requests, {len(chosen) - len(answered)} cut off, no foreign secret; {num_own} showed"
        f" their own; {len(answered)} equal to their solo runs; {probes.words}; {times.words}"
    )
    assert len(chosen) - len(answered) > len(chosen) / 10
    assert {errand.body.get("path") for errand in chosen} == {None, CHAT, COMPLETIONS}
    assert times.longest < LATEST, times.worst
    assert num_own > 0, "the search finds nothing at all"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_on_the_zoo_nobodys_answer_depends_on_the_others(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    items = make_items(VALIDATION_SEED + 1, numbers(8, 200))
    chosen = [
        Errand("", {"prompt": item.prompt} if index % 3 else {"messages": [message(item.prompt)]}, transport, cut)
        for index, (item, (transport, cut)) in enumerate(
            zip(items, [("json", None), ("sse", None), ("ndjson", None), ("sse", 0.2)] * len(items), strict=False)
        )
    ]
    with serving_process(Settings(), zoo, tmp_path / "log") as serving:
        together = asyncio.run(run_errands(serving.url, chosen, AT_ONCE))
        told = public(serving)
        whole = [errand for errand, reply in zip(chosen, together, strict=True) if not reply.was_cut]
        alone = asyncio.run(run_errands(serving.url, whole, 1))

    answered = [reply for reply in together if not reply.was_cut]
    assert all(reply.is_right for reply in answered)
    assert [essence(reply) for reply in answered] == [essence(reply) for reply in alone]
    told_numbers = set(re.findall(r"(?<![\w.])\d{6}(?![\w.])", told))  # an id may hold the same digits by chance
    assert not told_numbers & {number for item in items for number in re.findall(r"\d{6}", item.prompt)}
    figure(f"secrets on the zoo: {len(answered)} of {len(items)} read to the end, equal to their solo runs")


def message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_the_search_finds_a_secret_however_it_is_told() -> None:
    keys = Keys(["123456789012", "555500001111"])
    in_order = {"set": [[position, digit, 0.5] for position, digit in reversed([*enumerate("890121234567")])]}
    as_tokens = {"models": {"a": {"tokens": [None, *"890121234567"]}}}

    for event in (in_order, as_tokens, {"text": "so 89012123456 it is"}):
        assert keys.found(runs(texts(event))) == {"123456789012"}
    assert not keys.found(runs(["1234567890 and 98765432109876"]))
