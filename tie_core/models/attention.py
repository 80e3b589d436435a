"""Bidirectional attention over canvases that lie end to end in one row, each seeing only itself.

Knows no model: transformers calls it under the name ATTENTION, with the canvas lengths among the forward's
arguments.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
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
    lengths: Sequence[int] | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention output `[B, T, H, D]`. Nothing is causal, whatever the module says of itself.

    With `lengths` the single row is packed: canvases of these lengths end to end. Neighbours of one length are
    attended by one call, each as a batch entry of its own, so no kernel choice and no reduction can depend on the
    others. Positions after the last canvas are filler and get zeros.
    """
    num_groups = query.shape[1] // key.shape[1]
    if num_groups > 1:
        key, value = (states.repeat_interleave(num_groups, dim=1) for states in (key, value))
    if lengths is None:
        attended = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
        return attended.transpose(1, 2).contiguous(), None
    packed = torch.zeros_like(query.transpose(1, 2))  # [1, N, H, D]
    for start, length, count in _runs(lengths):
        run = slice(start, start + length * count)
        query_run, key_run, value_run = (
            states[0, :, run].reshape(-1, count, length, states.shape[-1]).transpose(0, 1)  # [count, H, length, D]
            for states in (query, key, value)
        )
        attended = scaled_dot_product_attention(query_run, key_run, value_run, scale=scaling)
        packed[0, run] = attended.transpose(1, 2).flatten(0, 1)
    return packed, None


def _runs(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Neighbours of one length: where they start, the length, how many."""
    start = 0
    for length, equal in groupby(lengths):
        count = len(list(equal))
        yield start, length, count
        start += length * count
