"""Bidirectional attention over canvases that lie end to end in one row, each seeing only itself.

Knows no model: transformers calls it under the name ATTENTION, with the canvas lengths among the forward's
arguments.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION: Final = "tie_packed"


def register_attention() -> None:
    """Make `config._attn_implementation = ATTENTION` valid. Idempotent."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attend)


def attend(
    module: nn.Module,
    query: Tensor,  # [B, H, T, D]
    key: Tensor,  # [B, H_kv, T, D]
    value: Tensor,  # [B, H_kv, T, D]
    attention_mask: Tensor | None,  # [B, 1, 1, T] bool, True where a position may be seen
    *,
    scaling: float,
    boundaries: Sequence[int] | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention output `[B, T, H, D]`. Nothing is causal, whatever the module says of itself.

    With `boundaries` (0, the ends of the canvases) the single row is packed: every canvas is attended by a
    call of its own, so no kernel choice and no reduction can depend on the neighbours. Positions after the
    last boundary are filler and get zeros.
    """
    num_groups = query.shape[1] // key.shape[1]
    if num_groups > 1:
        key, value = (states.repeat_interleave(num_groups, dim=1) for states in (key, value))
    if boundaries is None:
        attended = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
        return attended.transpose(1, 2).contiguous(), None
    packed = torch.zeros_like(query.transpose(1, 2))  # [1, N, H, D]
    for start, end in pairwise(boundaries):
        canvas = slice(start, end)
        attended = scaled_dot_product_attention(
            query[:, :, canvas], key[:, :, canvas], value[:, :, canvas], scale=scaling
        )
        packed[:, canvas] = attended.transpose(1, 2)
    return packed, None
