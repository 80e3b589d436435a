"""One pass of one side over a workload, and passes of several sides in turn, so that drift of the machine hits all."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench.raw_loop import Head, RawModel, decode
from bench.server import ServerProcess
from service.bench.asking import ask_tie, open_client
from service.bench.load import Exchange
from service.bench.scrape import scrape
from service.bench.sides import Sending
from service.bench.workload import Workload

SETTLING_SECONDS = 0.1  # a forward is counted after its results are handed out

Watch = Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one pass took. `cpu_seconds` are of the whole process that did the work; tokens are generated positions.

    `forwards` and `positions` (read by forwards) are the server's own counts, by purpose: decode, score.
    """

    cpu_seconds: float
    seconds: float
    num_tokens: int
    prompt_tokens: tuple[int, ...]
    latencies: tuple[float, ...] = ()
    forwards: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # by member
    rounds: int = 0
    positions: int = 0
    mean_batch_rows: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def cpu_ms_per_token(self) -> float:
        return 1000 * self.cpu_seconds / self.num_tokens

    @property
    def tokens_per_second(self) -> float:
        return self.num_tokens / self.seconds

    def num_forwards(self, purpose: str) -> int:
        return sum(spent[purpose] for spent in self.forwards.values())


Side = Callable[[], Sample]


def alternate(sides: Mapping[str, Side], repeats: int, report: Callable[[str], None]) -> dict[str, list[Sample]]:
    """Every side `repeats` times, in turn, every other time in reverse order."""
    names = list(sides)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for repetition in range(repeats):
        for name in names if repetition % 2 == 0 else reversed(names):
            sample = sides[name]()
            samples[name].append(sample)
            report(f"{name:28} {sample.cpu_ms_per_token:8.2f} CPU ms/token {sample.tokens_per_second:8.1f} tokens/s")
    return samples


def raw_pass(raw: RawModel, workload: Workload, at_once: int, head: Head) -> Sample:
    """The raw loop in this process over batches of `at_once` prompts, in the order of the workload."""
    gen_length, block_size = (int(workload.options[name]) for name in ("gen_length", "block_size"))
    prompts = [raw.prompt_ids(prompt) for prompt in workload.prompts]
    started, cpu_started = time.perf_counter(), time.process_time()
    for first in range(0, len(prompts), at_once):
        decode(raw, prompts[first : first + at_once], gen_length, block_size, head)
    return Sample(
        cpu_seconds=time.process_time() - cpu_started,
        seconds=time.perf_counter() - started,
        num_tokens=gen_length * len(prompts),
        prompt_tokens=tuple(map(len, prompts)),
    )


def served_pass(
    server: ServerProcess,
    workload: Workload,
    sending: Sending,
    *,
    watch: Watch | None = None,
    facts: Callable[[Sequence[Exchange]], Mapping[str, float]] | None = None,
) -> Sample:
    """The server over HTTP. `watch` runs meanwhile; `facts` are read from the exchanges afterwards."""
    return asyncio.run(_served(server, workload, sending, watch, facts or (lambda _: {})))


async def _served(
    server: ServerProcess,
    workload: Workload,
    sending: Sending,
    watch: Watch | None,
    facts: Callable[[Sequence[Exchange]], Mapping[str, float]],
) -> Sample:
    async with open_client(server.url) as client:
        before = await scrape(client)
        watching = asyncio.ensure_future(watch(client) if watch else asyncio.sleep(0))
        cpu_before = server.cpu_seconds
        ask = ask_tie(client, workload.options, models=list(workload.models) if workload.models else None)
        exchanges = await sending.send(ask, workload.prompts)
        cpu_seconds = server.cpu_seconds - cpu_before
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await asyncio.sleep(SETTLING_SECONDS)
        after = await scrape(client)
    assert before is not None
    assert after is not None
    spent = after.since(before)
    return Sample(
        cpu_seconds=cpu_seconds,
        seconds=max(exchange.ended_at for exchange in exchanges),
        num_tokens=sum(exchange.tokens for exchange in exchanges),
        prompt_tokens=tuple(exchange.prompt_tokens for exchange in exchanges),
        latencies=tuple(exchange.seconds for exchange in exchanges),
        forwards=_forwards(exchanges),
        rounds=sum(exchange.reply["tie"]["rounds"] for exchange in exchanges),
        positions=int(spent.total("tie_forward_positions_total")),
        mean_batch_rows=spent.mean_batch_rows,
        facts=facts(exchanges),
    )


def _forwards(exchanges: Sequence[Exchange]) -> dict[str, dict[str, int]]:
    counted: dict[str, Counter[str]] = {}
    for exchange in exchanges:
        for model, spent in exchange.reply["tie"]["nfe"].items():
            counted.setdefault(model, Counter()).update(spent)
    return {model: {purpose: counts[purpose] for purpose in ("decode", "score")} for model, counts in counted.items()}
