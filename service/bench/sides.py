"""The sides that `tie bench` compares: each asks its prompts, and tells what its process spent meanwhile."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.bench.asking import Ask, ask_openai, ask_tie, first_model, open_client
from service.bench.figures import Figures, figures_of
from service.bench.load import Exchange, closed_loop, staggered
from service.bench.scrape import CPU_SECONDS, Scrape, scrape
from service.bench.workload import Workload


@dataclass(frozen=True, slots=True)
class Spending:
    """What a side's process has spent so far; None where it does not tell."""

    cpu_seconds: float | None = None
    scrape: Scrape = field(default_factory=lambda: Scrape({}))


@dataclass(frozen=True, slots=True)
class Side:
    """Whoever answers, under the name that the table shows."""

    name: str
    ask: Ask
    spending: Callable[[], Awaitable[Spending]]


@dataclass(frozen=True, slots=True)
class Sending:
    """How requests are sent: so many at once, or one every so many seconds."""

    at_once: int | None = None
    gap_seconds: float | None = None

    @property
    def words(self) -> str:
        return f"every {self.gap_seconds:g} s" if self.gap_seconds is not None else f"{self.at_once} at once"

    async def send(self, ask: Ask, prompts: Sequence[str]) -> list[Exchange]:
        if self.gap_seconds is not None:
            return await staggered(ask, prompts, self.gap_seconds)
        return await closed_loop(ask, prompts, self.at_once or 1)


async def measure(side: Side, sending: Sending, prompts: Sequence[str]) -> Figures:
    """One run of one side."""
    before = await side.spending()
    exchanges = await sending.send(side.ask, prompts)
    after = await side.spending()
    cpu_seconds = None
    if before.cpu_seconds is not None and after.cpu_seconds is not None:
        cpu_seconds = after.cpu_seconds - before.cpu_seconds
    rows = after.scrape.since(before.scrape).mean_batch_rows
    return figures_of(side.name, sending.words, exchanges, cpu_seconds=cpu_seconds, mean_batch_rows=rows)


@asynccontextmanager
async def tie_side(server: str, key: str | None, ensemble: str | None, workload: Workload) -> AsyncIterator[Side]:
    """A TIE server; its CPU is known if its metrics tell it."""
    async with open_client(server, key) as client:
        models = list(workload.models) if workload.models else None
        yield Side("tie", ask_tie(client, workload.options, models=models, ensemble=ensemble), _told_by(client))


@asynccontextmanager
async def openai_side(server: str, model: str | None, max_tokens: int) -> AsyncIterator[Side]:
    """Another server. Of its metrics only the standard CPU seconds are understood."""
    async with open_client(server) as client:
        ask = ask_openai(client, model or await first_model(client), max_tokens)
        yield Side("openai", ask, _told_by(client))


def _told_by(client: httpx.AsyncClient) -> Callable[[], Awaitable[Spending]]:
    async def spending() -> Spending:
        told = await scrape(client)
        if told is None:
            return Spending()
        return Spending(told.total(CPU_SECONDS) if told.has(CPU_SECONDS) else None, told)

    return spending


def as_json(workload: Workload, seed: int, rows: Sequence[Figures]) -> Mapping[str, Any]:
    """Everything that was measured, with what was asked."""
    models = list(workload.models) if workload.models else None
    return {"seed": seed, "options": dict(workload.options), "models": models, "rows": [row.data() for row in rows]}
