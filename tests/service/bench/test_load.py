"""The client loops keep to what they were told, whoever answers."""

import asyncio

import pytest

from service.bench.asking import Reply
from service.bench.load import closed_loop, staggered
from tie_core.errors import TieError

USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 5}}


class Answerer:
    """Answers after a while, and counts how many wait at once."""

    def __init__(self) -> None:
        self.under_way = self.most = 0

    async def __call__(self, prompt: str) -> Reply:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.01 * (1 + len(prompt) % 3))
        self.under_way -= 1
        return {**USAGE, "text": prompt}


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (3, 3), (64, 7)])
def test_a_closed_loop_keeps_so_many_under_way(at_once: int, most: int) -> None:
    answerer = Answerer()
    prompts = [str(10**digits) for digits in range(7)]

    exchanges = asyncio.run(closed_loop(answerer, prompts, at_once))

    assert answerer.most == most
    assert [exchange.reply["text"] for exchange in exchanges] == prompts
    assert all(exchange.seconds > 0 and exchange.tokens == 5 for exchange in exchanges)


def test_staggered_requests_do_not_wait_for_each_other() -> None:
    async def answer(prompt: str) -> Reply:
        await asyncio.sleep(0.3)
        return USAGE

    exchanges = asyncio.run(staggered(answer, ["a", "b", "c"], 0.05))

    assert [exchange.sent_at for exchange in exchanges] == pytest.approx([0.0, 0.05, 0.1], abs=0.04)
    assert max(exchange.sent_at for exchange in exchanges) < min(exchange.ended_at for exchange in exchanges)


def test_the_first_error_ends_the_run() -> None:
    async def fail(prompt: str) -> Reply:
        raise TieError(f"{prompt} is too much")

    with pytest.raises(TieError, match="a is too much"):
        asyncio.run(closed_loop(fail, ["a", "b"], 2))
