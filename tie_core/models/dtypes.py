"""The dtypes that a model can be loaded in, by the names that configurations give them."""

from collections.abc import Mapping
from typing import Final

import torch

from tie_core.errors import PlacementError

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
