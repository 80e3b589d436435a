"""How much memory a model takes, by its configuration and its tensors' headers alone. Knows no device.

Activations are what is alive at once at the peak of a packed forward through transformers' Llama, Qwen2 or Qwen3 under
`torch.inference_mode`; `tests/models/test_footprint.py` holds the formula against the allocator's own count.
"""

from dataclasses import dataclass
from math import prod
from typing import Final

import torch
from transformers import PreTrainedConfig

from tie_core.models.checkpoint import Checkpoint

HEAD_ROWS: Final = 256
"""Rows of logits that are in memory at once, where a caller does not say otherwise."""
STATISTICS_BYTES: Final = 16
"""Per logit while it is read: four float32 copies (`tie_core/prediction.py`)."""
INDEX_BYTES: Final = 16
"""Per position: its id and its place in its canvas."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of one model in one dtype.

    `position_bytes` are the activations of one packed position; `row_bytes` the logits and statistics of one row of
    the language-model head; `cache_bytes` the keys and values of one position in all layers.
    """

    weights_bytes: int
    position_bytes: int
    row_bytes: int
    cache_bytes: int

    def activation_bytes(self, num_positions: int, num_rows: int = HEAD_ROWS) -> int:
        """What a packed forward takes beside the weights. Never more rows of logits than positions."""
        return num_positions * self.position_bytes + min(num_rows, num_positions) * self.row_bytes


def stored_elements(checkpoint: Checkpoint) -> int:
    """Numbers in all tensors; each becomes one parameter."""
    return sum(prod(tensor.shape) for tensor in checkpoint.tensors.values())


def footprint_of(config: PreTrainedConfig, dtype: torch.dtype, weights_bytes: int) -> Footprint:
    """By the widths of transformers' configuration."""
    size, width = dtype.itemsize, int(config.hidden_size)
    head_width = int(getattr(config, "head_dim", None) or width // config.num_attention_heads)
    queries = head_width * int(config.num_attention_heads)
    keys = head_width * int(config.num_key_value_heads)
    in_mlp = 4 * width + 3 * int(config.intermediate_size)
    in_attention = 3 * width + 5 * queries + 2 * keys  # keys and values repeated for grouped queries
    rotary = 2 * head_width
    upcast = 4 if size < 4 else 0  # logits are read in float32
    return Footprint(
        weights_bytes=weights_bytes,
        position_bytes=size * (max(in_mlp, in_attention) + rotary) + INDEX_BYTES,
        row_bytes=size * width + int(config.vocab_size) * (size + upcast + STATISTICS_BYTES),
        cache_bytes=2 * size * keys * int(config.num_hidden_layers),
    )
