"""The last layer's MLP, only where somebody reads: no position attends to what the last layer makes of another.

Llama, Qwen2 and Qwen3 put their layers together in the same way, so one class serves them all.
"""

from typing import Any, cast

from torch import Tensor, nn


class LastLayer(nn.Module):
    """Stands in for a decoder's last layer; its parts stay what they are."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer  # transformers' own annotations are partial

    def forward(self, hidden_states: Tensor, *, rows: Tensor | None = None, **context: Any) -> Tensor:
        """`[1, N, W]` as the layer itself, or with `rows [K]` only those of it: `[1, K, W]`."""
        layer = self.layer
        if rows is None:
            return cast(Tensor, layer(hidden_states, **context))
        attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **context)
        read = (hidden_states + attended)[:, rows]
        return cast(Tensor, read + layer.mlp(layer.post_attention_layernorm(read)))


def read_at_rows(decoder: Any) -> None:
    """Let a decoder take `rows`."""
    decoder.layers[-1] = LastLayer(decoder.layers[-1])
