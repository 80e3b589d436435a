"""Bidirectional attention over canvases that lie end to end in one row, each seeing only itself.

Knows no model: transformers calls it under the name ATTENTION, with the segments among the forward's arguments.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
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


@dataclass(frozen=True, slots=True)
class Bounds:
    """The same segments for the kernel of variable lengths: `[S + 1]` int32 each, S sequences."""

    queries: Tensor
    keys: Tensor
    most_queries: int
    most_keys: int
    keys_end: int


def bounds_of(segments: Iterable[Segment], device: torch.device) -> Bounds:
    """`segments` come in the order of their queries and of their keys.

    Keys between them that nobody attends to become a sequence without queries.
    """
    queries, keys = [0], [0]
    for part in segments:
        assert part.first_query == queries[-1]
        if part.first_key > keys[-1]:
            queries.append(queries[-1])
            keys.append(part.first_key)
        assert part.first_key == keys[-1]
        for _ in range(part.count):
            queries.append(queries[-1] + part.num_queries)
            keys.append(keys[-1] + part.num_keys)
    return Bounds(
        torch.tensor(queries, dtype=torch.int32, device=device),
        torch.tensor(keys, dtype=torch.int32, device=device),
        max(part.num_queries for part in segments),
        max(stop - start for start, stop in pairwise(keys)),
        keys[-1],
    )


def takes_variable_lengths(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether one kernel attends all segments at once: flash attention on a recent CUDA device, in 16 bits."""
    return (
        device.type == "cuda"
        and dtype in (torch.float16, torch.bfloat16)
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def attend(
    module: nn.Module,
    query: Tensor,  # [B, H, T, D]
    key: Tensor,  # [B, H_kv, T, D]
    value: Tensor,  # [B, H_kv, T, D]
    attention_mask: Tensor | None,  # [B, 1, 1, T] bool, True where a position may be seen
    *,
    scaling: float,
    segments: Sequence[Segment] | None = None,
    bounds: Bounds | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention output `[B, T, H, D]`. Nothing is causal, whatever the module says of itself.

    With `segments` the single row is packed. Each canvas is a batch entry of its own in the call that attends its
    segment, so no kernel choice and no reduction can depend on the others. Queries after the last segment are filler
    and get zeros. With `bounds` one kernel attends all segments; what it does with one does not depend on the others.
    """
    num_groups = query.shape[1] // key.shape[1]
    if segments is None:
        attended = scaled_dot_product_attention(
            query, _repeated(key, num_groups), _repeated(value, num_groups), attn_mask=attention_mask, scale=scaling
        )
        return attended.transpose(1, 2).contiguous(), None
    num_queries = segments[-1].first_query + segments[-1].count * segments[-1].num_queries
    if bounds is not None:
        rows = [_varied(query[:, :, :num_queries], key, value, bounds, scaling)]
    else:
        rows = [_attended(query, key, value, part, num_groups, scaling) for part in segments]
    if num_filler := query.shape[2] - num_queries:
        rows.append(rows[0].new_zeros(num_filler, *rows[0].shape[1:]))
    return (torch.cat(rows) if len(rows) > 1 else rows[0])[None], None


def _attended(query: Tensor, key: Tensor, value: Tensor, part: Segment, num_groups: int, scaling: float) -> Tensor:
    """`[count x num_queries, H, D]`."""
    attended = scaled_dot_product_attention(
        _canvases(query, part.first_query, part.count, part.num_queries),
        _repeated(_canvases(key, part.first_key, part.count, part.num_keys), num_groups),
        _repeated(_canvases(value, part.first_key, part.count, part.num_keys), num_groups),
        scale=scaling,
    )  # [count, H, num_queries, D]
    return attended.transpose(1, 2).flatten(0, 1)


def _canvases(states: Tensor, first: int, count: int, length: int) -> Tensor:
    """`count` canvases of a packed `[1, H, N, D]` as a batch `[count, H, length, D]`."""
    run = states[:, :, first : first + count * length]
    return run if count == 1 else run[0].view(states.shape[1], count, length, -1).transpose(0, 1)


def _varied(query: Tensor, key: Tensor, value: Tensor, bounds: Bounds, scaling: float) -> Tensor:
    """`[N, H, D]` by the kernel of variable lengths."""
    attended = varlen_attn(
        query[0].transpose(0, 1),
        key[0, :, : bounds.keys_end].transpose(0, 1),
        value[0, :, : bounds.keys_end].transpose(0, 1),
        bounds.queries,
        bounds.keys,
        bounds.most_queries,
        bounds.most_keys,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
        num_splits=1,  # else the longest sequence would decide how every other one is summed
    )
    return cast(Tensor, attended)


def _repeated(states: Tensor, num_groups: int) -> Tensor:
    """Every key or value head once for each query head that shares it."""
    return states.repeat_interleave(num_groups, dim=1) if num_groups > 1 else states
