"""The reference decoder decodes right: the same ids as the plain driver's, one by one and in a padded batch."""

import pytest
import torch

from bench.raw_loop import Head, decode, load_raw_model
from tests.members import GOLDEN, tiny
from tests.running import outcome_of
from tie_core import Ensemble

GEN_LENGTH, BLOCK_SIZE = 24, 8
PROMPTS = ("rev 314159; inc 271828", "2", "a much longer prompt, so that the others are padded to its length")


def plainly(name: str, prompt: str) -> list[int]:
    """The generated ids of the driver that every faster path must equal."""
    request = Ensemble("one", [tiny(name)]).request(
        messages=[{"role": "user", "content": prompt}], task="open", gen_length=GEN_LENGTH, block_size=BLOCK_SIZE
    )
    outcome, _ = outcome_of(request)
    return list(outcome.canvases[0].generated)


@pytest.mark.parametrize("head", ["canvas", "block"])
@pytest.mark.parametrize("name", ["llada-tiny", "llada-tiny-gqa", "dream-tiny"])
def test_the_raw_loop_gives_the_plain_drivers_ids(name: str, head: Head) -> None:
    raw = load_raw_model(GOLDEN / name, torch.float32)
    prompts = [raw.prompt_ids(prompt) for prompt in PROMPTS]

    one_by_one = [decode(raw, [prompt], GEN_LENGTH, BLOCK_SIZE, head)[0] for prompt in prompts]
    together = decode(raw, prompts, GEN_LENGTH, BLOCK_SIZE, head)

    expected = [plainly(name, prompt) for prompt in PROMPTS]
    assert one_by_one == expected
    assert together == expected


def test_the_raw_loop_uses_nothing_of_the_engine() -> None:
    raw = load_raw_model(GOLDEN / "llada-tiny", torch.float32)

    assert raw.model.config._attn_implementation == "sdpa"
    assert not type(raw.model.model.layers[0].mlp.act_fn).__module__.startswith("tie_core")
