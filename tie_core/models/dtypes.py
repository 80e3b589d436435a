"""The dtypes that a model can be loaded in, by the names that configurations give them."""

import time
from collections.abc import Mapping
from typing import Final

import torch
from torch.nn import functional

from tie_core.errors import PlacementError

EMULATED_SLOWDOWN: Final = 2.0
"""From here on a CPU is said to emulate bfloat16: with instructions for it it is below 1, without about 10 or more."""
PROBE_WIDTH: Final = 256
PROBE_RUNS: Final = 5
DTYPES: Final[Mapping[str, torch.dtype]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def known_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """A dtype by its name; raises PlacementError for one that no model is loaded in."""
    known = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if known is None or known not in DTYPES.values():
        raise PlacementError(f"dtype {dtype!s} was asked for; allowed are {', '.join(DTYPES)}")
    return known


def bfloat16_slowdown() -> float:
    """How many times float32's seconds a product takes in bfloat16 on this CPU, measured in a few milliseconds."""
    return _seconds_of_a_product(torch.bfloat16) / _seconds_of_a_product(torch.float32)


def _seconds_of_a_product(dtype: torch.dtype) -> float:
    """The best of a few, after one that makes the kernel."""
    rows = torch.ones(PROBE_WIDTH, PROBE_WIDTH, dtype=dtype)
    weights = torch.ones(4 * PROBE_WIDTH, PROBE_WIDTH, dtype=dtype)
    seconds = []
    for _ in range(1 + PROBE_RUNS):
        started = time.perf_counter()
        functional.linear(rows, weights)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
