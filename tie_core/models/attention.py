"""Bidirectional attention over canvases that lie end to end in one row, each seeing only itself.

Knows no model: transformers calls it under the name ATTENTION, with the segments among the forward's arguments.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION: Final = "tie_packed"


def register_attention() -> None:
    """Make `config._attn_implementation = ATTENTION` valid. Idempotent."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attend)


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring canvases of one shape: `num_queries` positions of each are read, and attend to its `num_keys`."""

    count: int
    num_queries: int
    num_keys: int
    first_query: int
    first_key: int


def segments_of(lengths: Iterable[int]) -> tuple[Segment, ...]:
    """Whole canvases end to end: every position is read, and attends to all of its canvas."""
    segments: list[Segment] = []
    start = 0
    for length in lengths:
        if segments and segments[-1].num_keys == length:
            last = segments.pop()
            segments.append(replace(last, count=last.count + 1))
        else:
            segments.append(Segment(1, length, length, start, start))
        start += length
    return tuple(segments)


def attend(
    module: nn.Module,
    query: Tensor,  # [B, H, T, D]
    key: Tensor,  # [B, H_kv, T, D]
    value: Tensor,  # [B, H_kv, T, D]
    attention_mask: Tensor | None,  # [B, 1, 1, T] bool, True where a position may be seen
    *,
    scaling: float,
    segments: Sequence[Segment] | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention output `[B, T, H, D]`. Nothing is causal, whatever the module says of itself.

    With `segments` the single row is packed. Each canvas is a batch entry of its own in the call that attends its
    segment, so no kernel choice and no reduction can depend on the others. Queries after the last segment are filler
    and get zeros.
    """
    num_groups = query.shape[1] // key.shape[1]
    if segments is None:
        attended = scaled_dot_product_attention(
            query, _repeated(key, num_groups), _repeated(value, num_groups), attn_mask=attention_mask, scale=scaling
        )
        return attended.transpose(1, 2).contiguous(), None
    packed = torch.zeros_like(query.transpose(1, 2))  # [1, N, H, D]
    for part in segments:
        attended = scaled_dot_product_attention(
            _canvases(query, part.first_query, part.count, part.num_queries),
            _repeated(_canvases(key, part.first_key, part.count, part.num_keys), num_groups),
            _repeated(_canvases(value, part.first_key, part.count, part.num_keys), num_groups),
            scale=scaling,
        )  # [count, H, num_queries, D]
        end = part.first_query + part.count * part.num_queries
        packed[0, part.first_query : end] = attended.transpose(1, 2).flatten(0, 1)
    return packed, None


def _canvases(states: Tensor, first: int, count: int, length: int) -> Tensor:
    """`count` canvases of a packed `[1, H, N, D]` as a batch `[count, H, length, D]`."""
    _, num_heads, _, width = states.shape
    run = states[0, :, first : first + count * length]
    return run.reshape(num_heads, count, length, width).transpose(0, 1)


def _repeated(states: Tensor, num_groups: int) -> Tensor:
    """Every key or value head once for each query head that shares it."""
    return states.repeat_interleave(num_groups, dim=1) if num_groups > 1 else states
