"""The prompts are the same for everyone who asks with the same seed, and as unequal for any number of them."""

from statistics import fmean

import pytest

from service.bench.workload import LONGEST, SHORTEST, mixed_prompts, plain_options, spread
from tie_core import zoo
from tie_core.options import resolve_options


def test_a_seed_gives_the_same_prompts() -> None:
    assert mixed_prompts(8, seed=1) == mixed_prompts(8, seed=1)
    assert mixed_prompts(8, seed=1) != mixed_prompts(8, seed=2)


@pytest.mark.parametrize("num", [1, 8, 64])
def test_any_number_of_prompts_has_the_same_mean_length(num: int) -> None:
    lengths = [len(prompt.split()) for prompt in mixed_prompts(num)]

    assert fmean(lengths) == pytest.approx((SHORTEST + LONGEST) / 2, abs=0.6)
    assert SHORTEST <= min(lengths) <= max(lengths) <= LONGEST


@pytest.mark.parametrize("defaults", [{}, zoo.DEFAULTS])
def test_a_plain_request_masks_every_generated_position(defaults: dict[str, object]) -> None:
    options = resolve_options(defaults, plain_options(64, 32))

    assert options.region_lengths(suffix=0) == (64, 0)
    assert options.suffix == ""
    assert options.interval >= 64


def test_lengths_are_told_in_words() -> None:
    assert spread([30, 10, 20, 100]) == "10 to 100 tokens, median 30, mean 40"
