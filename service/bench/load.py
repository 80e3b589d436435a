"""The client loops: so many requests at once, or one every so many seconds. They know prompts and clocks only."""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.bench.asking import Ask, Reply

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request: when it was sent (seconds from the start of the run), its latency, and what came back."""

    sent_at: float
    seconds: float
    reply: Reply

    @property
    def ended_at(self) -> float:
        return self.sent_at + self.seconds

    @property
    def prompt_tokens(self) -> int:
        return int(self.reply["usage"]["prompt_tokens"])

    @property
    def tokens(self) -> int:
        """Generated tokens, as whoever answered counts them."""
        return int(self.reply["usage"]["completion_tokens"])


async def closed_loop(ask: Ask, prompts: Sequence[str], at_once: int) -> list[Exchange]:
    """Keep `at_once` requests under way until all prompts are answered; exchanges in the order of the prompts.

    The first error ends the run, and is what is raised.
    """
    exchanges: list[Exchange | None] = [None] * len(prompts)
    waiting: Iterator[tuple[int, str]] = iter(enumerate(prompts))
    started = time.perf_counter()

    async def client() -> None:
        for index, prompt in waiting:
            exchanges[index] = await _exchange(ask, prompt, started)

    await _together(client() for _ in range(min(at_once, len(prompts))))
    return [exchange for exchange in exchanges if exchange is not None]


async def staggered(ask: Ask, prompts: Sequence[str], gap_seconds: float) -> list[Exchange]:
    """Send a prompt every `gap_seconds`, whatever is still under way."""
    started = time.perf_counter()

    async def send(index: int, prompt: str) -> Exchange:
        await asyncio.sleep(max(0.0, started + index * gap_seconds - time.perf_counter()))
        return await _exchange(ask, prompt, started)

    return await _together(send(index, prompt) for index, prompt in enumerate(prompts))


async def _together(clients: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client) for client in clients]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None  # whoever is first says what the others would
    return [task.result() for task in tasks]


async def _exchange(ask: Ask, prompt: str, started: float) -> Exchange:
    sent = time.perf_counter()
    reply = await ask(prompt)
    return Exchange(sent - started, time.perf_counter() - sent, reply)
