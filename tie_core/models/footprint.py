"""How much memory a model takes, by its configuration and its tensors' headers alone. Knows no device.

Activations are what is alive at once at the peak of a packed forward through transformers' Llama, Qwen2 or Qwen3 under
`torch.inference_mode`; `tests/models/test_footprint.py` holds the formula against the allocator's own count.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from transformers import PreTrainedConfig

from tie_core.models.checkpoint import open_checkpoint
from tie_core.models.dtypes import known_dtype
from tie_core.models.families import FAMILIES
from tie_core.models.recognition import recognise

LOGIT_BYTES: Final = 16
"""Per logit of a tile, in any dtype: it is read in float32, beside up to three tensors of its size."""
INDEX_BYTES: Final = 6 * 8
"""Token ids and position ids in int64: as they came, with filler, and both forms of the position ids once more while
those of the last forward are still kept."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of one model in one dtype.

    `position_bytes` are the activations of one packed position, `cache_bytes` its keys and values in all layers.
    """

    weights_bytes: int
    position_bytes: int
    cache_bytes: int
    vocab_rows: int

    def activation_bytes(self, num_positions: int, num_logits: int) -> int:
        """What a packed forward takes beside the weights, with so many logits in memory at once."""
        return num_positions * self.position_bytes + num_logits * LOGIT_BYTES


def read_footprint(path: Path, dtype: str | torch.dtype) -> Footprint:
    """What the checkpoint folder at `path` would take in a dtype, from its headers: no weight is read.

    Raises CheckpointError, UnsupportedModelError and PlacementError as `loading.load_model` does.
    """
    checkpoint, placed_dtype = open_checkpoint(path), known_dtype(dtype)
    config = recognise(checkpoint.config, FAMILIES).translate(checkpoint.config)
    return footprint_of(config, placed_dtype, checkpoint.num_elements * placed_dtype.itemsize)


def footprint_of(config: PreTrainedConfig, dtype: torch.dtype, weights_bytes: int) -> Footprint:
    """By the widths of transformers' configuration."""
    size, width = dtype.itemsize, int(config.hidden_size)
    head_width = int(getattr(config, "head_dim", None) or width // int(config.num_attention_heads))
    num_heads = int(config.num_attention_heads)
    queries = head_width * num_heads
    keys = head_width * int(config.num_key_value_heads)
    in_mlp = size * (4 * width + 3 * int(config.intermediate_size))
    in_attention = size * (3 * width + 5 * queries + 2 * keys)  # keys and values repeated for grouped queries
    if size == 2:
        in_attention += size * 2 * keys  # CPUs with matrix units arrange keys and values once more
    log_sums = 4 * num_heads  # float32, kept by the fused attention
    rotary = size * 2 * head_width
    return Footprint(
        weights_bytes=weights_bytes,
        position_bytes=max(in_mlp, in_attention + log_sums) + rotary + INDEX_BYTES,
        cache_bytes=2 * size * keys * int(config.num_hidden_layers),
        vocab_rows=int(config.vocab_size),
    )
