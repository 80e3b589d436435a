"""What is asked: seeded prompts of mixed length, and the options that every request carries."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SEED: Final = 20_260_616
SHORTEST: Final = 4  # words
LONGEST: Final = 150
TEXT: Final = """\
please explain how a small boat can cross the lake when strong wind comes from the north and nobody on board knows the
way back; list every step in order, give a short reason for each, and say which of them would still be needed in summer
"""
WORDS: Final = tuple(TEXT.replace(";", "").replace(",", "").split())


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompts, one request each, and the options of all of them by the library's names.

    `models` are the members that answer (None: all of the ensemble).
    """

    prompts: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] | None = None


def mixed_prompts(num: int, *, seed: int = SEED, shortest: int = SHORTEST, longest: int = LONGEST) -> tuple[str, ...]:
    """`num` prompts, their lengths in words evenly spread between both ends, in random order.

    Spread, not drawn: any number of prompts has the same mean length, so that rows with different numbers compare.
    """
    rng = random.Random(seed)
    lengths = [shortest + round((longest - shortest) * (index + 0.5) / num) for index in range(num)]
    rng.shuffle(lengths)
    return tuple(" ".join(rng.choices(WORDS, k=length)) for length in lengths)


def plain_options(gen_length: int, block_size: int) -> dict[str, Any]:
    """One member's own decoding: every generated position masked at first, one committed a step, one round."""
    lengths = {"gen_length": gen_length, "answer": 0, "suffix": ""}
    return {"task": "open", **lengths, "block_size": block_size, "interval": gen_length}


def spread(lengths: Sequence[int]) -> str:
    """How long the prompts were, in words for people: the least, the median, the mean, the most."""
    ordered = sorted(lengths)
    mean = sum(ordered) / len(ordered)
    return f"{ordered[0]} to {ordered[-1]} tokens, median {ordered[len(ordered) // 2]}, mean {mean:.0f}"
