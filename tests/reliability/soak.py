"""`make soak`, its last part: minutes of mixed load with faults and disconnects, after which nothing may have grown.

The load pauses every half minute; what is counted then is the server at rest.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from service.bench.workload import mixed_prompts
from service.settings import LimitSettings, Settings
from tests.reliability.asking import ACCEPT, Reply, as_openai, ask, lasting, open_client
from tests.reliability.members import FAULTS, faulty_zoo
from tests.reliability.processes import Serving, serving_process
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

PAUSE_SECONDS: Final = 30.0
REST_SECONDS: Final = 1.5  # for connections to close and threads to settle
WARM_UP_SHARE: Final = 0.3
AT_ONCE: Final = 12
FAULT_SHARE: Final = 0.05
LEAVING_SHARE: Final = 0.10
MOST_GROWTH: Final = 0.01
CONSTANT: Final = ("threads", "tasks", "descriptors", "series")
KNOWN_FAILURES: Final = frozenset({"member_failed", "no_member_left", "queue_full", "out_of_memory"})
SETTINGS: Final = Settings(limits=LimitSettings(kept_seconds=10.0, max_kept_runs=50))
"""What is kept for replays is at its bounds soon, or it would look like a leak until it is."""

Asked = tuple[dict[str, Any], str]  # a body and its transport


@dataclass(slots=True)
class Soak:
    """What came of it so far."""

    samples: list[dict[str, int]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes: float = parser.parse_args().minutes
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_process(SETTINGS, faulty_zoo, Path(folder) / "log") as serving,
    ):
        soak = asyncio.run(soak_for(serving, minutes * 60, console))
        text = serving.log()
    complaints = judge(soak) + (["a traceback in the log"] if "Traceback" in text else [])
    console.print(table(soak))
    console.print(", ".join(f"{num} {outcome}" for outcome, num in soak.outcomes.most_common()))
    for complaint in complaints:
        console.print(complaint, markup=False)
    console.print("nothing has grown and every undisturbed answer was right" if not complaints else "FAILED")
    return 1 if complaints else 0


def catalogue() -> list[Asked]:
    """What is asked again and again: items of the zoo's task and longer texts, options and transports of every kind."""
    chance = random.Random(4)
    prompts = [item.prompt for item in make_items(VALIDATION_SEED, 20)] + [*mixed_prompts(8)]
    made: list[Asked] = []
    for index, prompt in enumerate(prompts):
        body: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]} if index % 2 else {"prompt": prompt}
        body["unmasking"] = {"policy": chance.choice(["top_k", "threshold"])}
        if index % 4 == 3:
            body["models"] = [chance.choice(["zoo-llada", "zoo-dream"])]
        else:
            body["tie"] = {"score": chance.choice(["tcc", "top1", "entropy", "margin"])}
        if index % 5 == 4:
            body["cache"] = "window"
        transport = sorted(ACCEPT)[index % 3]
        if transport != "json":
            body["events"] = chance.choice(["round", "step", "snapshot"])
        if index % 6 == 5:
            body, transport = as_openai(body, transport, is_diffusing=index % 12 == 5)
        made.append((body, transport))
    return made


async def soak_for(serving: Serving, seconds: float, console: Console) -> Soak:
    soak, asked = Soak(), catalogue()
    async with open_client(serving.url) as client:
        alone = [await ask(client, *each) for each in asked]
    assert all(reply.is_right for reply in alone), "a request fails even alone"
    right = [lasting(reply.result) for reply in alone]
    number, started = 0, time.monotonic()
    while (left := started + seconds - time.monotonic()) > 0:
        number += 1
        await load(serving.url, number, min(PAUSE_SECONDS, left), asked, right, soak)
        await asyncio.sleep(REST_SECONDS)
        soak.samples.append(await asyncio.to_thread(facts, serving))
        told = ", ".join(f"{name} {value:,}" for name, value in soak.samples[-1].items())
        console.print(f"{time.monotonic() - started:6.0f} s  {soak.outcomes.total():6,} requests  {told}")
    return soak


async def load(
    url: str, seed: int, seconds: float, asked: Sequence[Asked], right: Sequence[object], soak: Soak
) -> None:
    """So many clients at once, each one request after the other, for so long."""
    deadline = time.monotonic() + seconds

    async def keep_asking(chance: random.Random) -> None:
        while time.monotonic() < deadline:
            which, fate = chance.randrange(len(asked)), chance.random()
            body, transport = asked[which]
            if fate < FAULT_SHARE:
                reply = await ask(client, {"prompt": chance.choice(FAULTS)}, transport)
                note(soak, "with a fault", reply, None)
            elif fate < FAULT_SHARE + LEAVING_SHARE:
                await ask(client, body, transport, cut_after=chance.uniform(0, 0.5))
                soak.outcomes["left"] += 1
            else:
                note(soak, "right", await ask(client, body, transport), right[which])

    async with open_client(url) as client:
        await asyncio.gather(*(keep_asking(random.Random(seed * 1000 + one)) for one in range(AT_ONCE)))


def note(soak: Soak, outcome: str, reply: Reply, right: object | None) -> None:
    """An undisturbed answer is the one that the request has alone; a disturbed one has its one end."""
    soak.outcomes[outcome] += 1
    if not reply.has_ended:
        soak.wrong.append(f"{outcome}: no end of {reply.request_id}")
    elif right is not None and lasting(reply.result) != right:
        soak.wrong.append(f"another answer than alone: {reply.request_id}")
    elif right is None and "error" in reply.result and reply.result["error"]["code"] not in KNOWN_FAILURES:
        soak.wrong.append(f"{outcome}: {reply.result['error']['code']}")


def facts(serving: Serving) -> dict[str, int]:
    with httpx.Client(base_url=serving.url, trust_env=False, timeout=30) as client:
        page = client.get("/metrics").text
    series = sum(not line.startswith("#") for line in page.splitlines())
    time.sleep(REST_SECONDS)
    return serving.facts() | {"series": series}


def judge(soak: Soak) -> list[str]:
    """What speaks against the server."""
    rested = soak.samples[int(len(soak.samples) * WARM_UP_SHARE) :]
    complaints = [f"wrong: {each}" for each in soak.wrong[:10]]
    if len(rested) < 2:
        return [*complaints, "too short to say anything: a soak takes two minutes at least"]
    for name in CONSTANT:
        if rested[-1][name] > rested[0][name]:
            complaints.append(f"{name} grew from {rested[0][name]} to {rested[-1][name]}")
    if (grown := growth(rested)) > MOST_GROWTH:
        complaints.append(f"resident memory grew by {grown:.1%} after the warm-up")
    return complaints


def growth(samples: Sequence[dict[str, int]]) -> float:
    """Of the resident memory, from the first samples to the last ones."""
    num = max(1, len(samples) // 3)
    first, last = (statistics.median(each["resident"] for each in part) for part in (samples[:num], samples[-num:]))
    return last / first - 1


def table(soak: Soak) -> Table:
    rested = soak.samples[int(len(soak.samples) * WARM_UP_SHARE) :]
    told = Table("", "after the warm-up", "at the end", "most")
    for name in ("resident", *CONSTANT):
        values = [sample[name] for sample in rested]
        told.add_row(name, f"{values[0]:,}", f"{values[-1]:,}", f"{max(values):,}")
    told.add_row("growth of resident memory", "", f"{growth(rested):+.2%}", "")
    told.add_row("wrong answers", "", str(len(soak.wrong)), "")
    return told


if __name__ == "__main__":
    sys.exit(main())
