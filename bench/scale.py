"""How much the benchmarks run: in full, or so little that a test can run them all."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run."""

    gen_length: int = 64
    block_size: int = 32
    levels: tuple[int, ...] = (1, 4, 8, 16, 32, 64)
    few: int = 8  # requests at once, where a row is about something else
    crowd: int = 64
    least_requests: int = 16
    most_requests: int = 64
    ensemble_length: int = 128
    arrivals_length: int = 256
    cached: tuple[int, int] = (256, 32)  # generated positions, of them answer
    lengths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    zoo_items: int = 200
    repeats: int = 3
    longest_words: int = 150


FULL: Final = Scale()
QUICK: Final = Scale(
    gen_length=8,
    block_size=4,
    levels=(1, 4),
    few=2,
    crowd=4,
    least_requests=2,
    most_requests=4,
    ensemble_length=24,
    arrivals_length=24,
    cached=(32, 8),
    lengths=(8, 16),
    zoo_items=4,
    repeats=1,
    longest_words=12,
)
