"""`/livez` is on time whatever the requests are: nothing that takes long happens on the event loop."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.settings import Settings
from tests.reliability.asking import Reply, ask, open_client
from tests.reliability.members import zoo
from tests.reliability.probing import ENOUGH, IDLE_PROBES, LATEST, WAITS, Probes, probing
from tests.reliability.processes import serving_process

SIZE = 199_000
AT_ONCE = 12
PIECES = {
    "letters": "a",
    "numbers": "31415 ",
    "long words": "supercalifragilistic",
    "special tokens": "<|endoftext|>",
    "signs": "{}[]<|>\\n",
    "other scripts": "\u00e9\u0436\u6f22\U0001f600",
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_probes_are_on_time_while_huge_prompts_are_read(
    tmp_path: Path, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    bodies = [
        {"messages": [{"role": "user", "content": (piece * SIZE)[:SIZE]}]}
        if index % 2
        else {"prompt": (piece * SIZE)[:SIZE]}
        for index in range(numbers(2, 40))
        for piece in PIECES.values()
    ]
    ordinary = [{"prompt": f"rev {number}"} for number in range(len(bodies))]

    async def all_at_once(url: str) -> list[Reply]:
        places = asyncio.Semaphore(AT_ONCE)
        async with open_client(url) as client:

            async def one(body: dict[str, object]) -> Reply:
                async with places:
                    return await ask(client, body)

            mixed = [body for pair in zip(bodies, ordinary, strict=True) for body in pair]
            return await asyncio.gather(*(one(body) for body in mixed))

    with serving_process(Settings(), zoo, tmp_path / "log") as serving, probing(serving.url) as probes:
        started = time.monotonic()
        replies = asyncio.run(all_at_once(serving.url))
        seconds = time.monotonic() - started

    times = serving.loop_times()
    figure(f"{len(bodies)} prompts of {SIZE:,} characters in {seconds:.1f} s: {probes.words}; {times.words}")
    assert {reply.status for reply in replies} <= {200, 400, 503}
    assert all(reply.has_ended for reply in replies)
    assert times.longest < LATEST, times.worst
    assert not probes.are_late(), probes.words


def test_a_hiccup_of_the_idle_machine_excuses_no_late_answer() -> None:
    idle, quick, late = [0.005] * (IDLE_PROBES - 1) + [1.0], [0.001] * ENOUGH, [2 * LATEST] * (ENOUGH // 50)

    assert not Probes(idle, quick, [0.0]).are_late()
    assert Probes(idle, quick + late, [0.0]).are_late()
    assert not Probes(idle, quick + late, [LATEST / WAITS]).are_late()  # the prober itself was kept waiting as long
    assert not Probes(idle, [*quick[:50], late[0]], [0.0]).are_late()  # the p99 of a few is the latest one
    assert Probes(idle, quick[:50] + late, [0.0]).are_late()
