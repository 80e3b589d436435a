"""What requests cost on a device, computed from a model's shape: forwards, positions, FLOPs. Nothing here is measured.

A multiplication and an addition count as two. A forward takes as long as its arithmetic at the device's peak times
EFFICIENCY, or as reading the weights once, whichever is longer; launches, attention's softmax, commits and relays are
left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

EFFICIENCY: Final = 0.5
"""The share of the peak that matrix products are taken to reach: an assumption, not a measurement."""
WEIGHT_BYTES: Final = 2  # bf16


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a transformer with gated MLPs."""

    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    mlp_width: int
    num_rows: int  # of the vocabulary

    @property
    def head_width(self) -> int:
        return self.width // self.num_heads

    @property
    def body_parameters(self) -> int:
        """Those that every position is multiplied with: all but embedding and head."""
        attention = 2 * self.width * self.width + 2 * self.width * self.num_kv_heads * self.head_width
        return self.num_layers * (attention + 3 * self.width * self.mlp_width)

    @property
    def head_parameters(self) -> int:
        return self.width * self.num_rows

    @property
    def weight_bytes(self) -> int:
        return WEIGHT_BYTES * (self.body_parameters + 2 * self.head_parameters)

    @property
    def read_bytes(self) -> int:
        """What a forward reads of the weights: of the embedding only a few rows."""
        return WEIGHT_BYTES * (self.body_parameters + self.head_parameters)

    def position_flops(self, num_seen: int) -> int:
        """Of one query position that attends to `num_seen` keys."""
        return 2 * self.body_parameters + 4 * self.num_layers * self.width * num_seen

    @property
    def row_flops(self) -> int:
        """Of the head on one position whose prediction is needed."""
        return 2 * self.head_parameters


@dataclass(frozen=True, slots=True)
class Device:
    """Peaks from the vendor's data sheet, dense bf16: floating-point operations and bytes a second, memory in bytes."""

    name: str
    flops: float
    bandwidth: float
    memory: float

    def seconds(self, flops: float, read_bytes: float) -> float:
        return max(flops / (EFFICIENCY * self.flops), read_bytes / self.bandwidth)

    def saturating_positions(self, shape: Shape) -> int:
        """Positions of one forward from which on arithmetic takes longer than reading the weights."""
        return ceil(shape.read_bytes / self.bandwidth * EFFICIENCY * self.flops / shape.position_flops(512))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a request decodes: lengths, and what a step reads."""

    prompt: int
    generated: int
    answer: int
    block: int
    interval: int
    per_step: int = 1
    is_cached: bool = False
    is_cross_model: bool = False

    @property
    def canvas(self) -> int:
        return self.prompt + self.generated

    @property
    def steps(self) -> int:
        return ceil(self.generated / self.per_step)

    @property
    def rounds(self) -> int:
        """Those that end in a relay."""
        return max(0, ceil(self.steps / self.interval) - 1)

    def positions(self, num_members: int) -> int:
        """Positions that one member reads in one request, an M-th of the cross-model readings included."""
        readings = self.rounds * (num_members - 1) * self.canvas if self.is_cross_model else 0
        if not self.is_cached:
            return self.steps * self.canvas + readings
        full = self.rounds + 1
        return full * self.canvas + (self.steps - full) * (self.block + self.answer) + readings

    @property
    def watched_rows(self) -> int:
        """Rows that the head reads in one step: the active block's and the answer's masked ones, about."""
        return self.block // 2 + self.answer


def shape_of(config: Any) -> Shape:
    """The shape of a checkpoint from its configuration in transformers' names."""
    return Shape(
        width=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        mlp_width=config.intermediate_size,
        num_rows=config.vocab_size,
    )


def request_flops(shape: Shape, plan: Plan, num_members: int) -> float:
    """What one member spends on one request."""
    return plan.positions(num_members) * shape.position_flops(plan.canvas) + (
        plan.steps * plan.watched_rows * shape.row_flops
    )


def request_seconds(shape: Shape, plan: Plan, device: Device, num_members: int, at_once: int = 1) -> float:
    """How long one member computes for `at_once` requests that are always in the same forwards."""
    readings = plan.rounds * (num_members - 1) if plan.is_cross_model else 0
    num_forwards = plan.steps + readings
    flops = at_once * request_flops(shape, plan, num_members)
    return num_forwards * device.seconds(flops / num_forwards, shape.read_bytes)


# Sources: the published config.json of each model, the vendor's data sheet of each device.
SHAPES: Final[Mapping[str, Shape]] = {
    "LLaDA-8B": Shape(4096, 32, 32, 32, 12_288, 126_464),
    "Dream-7B": Shape(3584, 28, 28, 4, 18_944, 152_064),
}
DEVICES: Final = (
    Device("H200", 989e12, 4.8e12, 141e9),
    Device("H100 SXM", 989e12, 3.35e12, 80e9),
    Device("A100 80 GB SXM", 312e12, 2.039e12, 80e9),
    Device("L40S", 362e12, 0.864e12, 48e9),
)
PLANS: Final[Mapping[str, Plan]] = {
    "exact, tcc": Plan(128, 256, 32, 16, 16),
    "exact, top1": Plan(128, 256, 32, 16, 16, is_cross_model=True),
    "2 tokens a step, tcc": Plan(128, 256, 32, 16, 16, per_step=2),
    "window cache, tcc": Plan(128, 256, 32, 16, 16, is_cached=True),
}
