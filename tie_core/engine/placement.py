"""Where models go: weights, activations, keys and values against each device's memory, before any weight is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from tie_core.engine.devices import Device, choose_device
from tie_core.errors import PlacementError
from tie_core.models.footprint import Footprint
from tie_core.tiles import most_logits

PLANNED_POSITIONS: Final = 4096
"""What every model must have room for in one forward, if no limit says otherwise: the longest canvas of LLaDA."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A model to be placed."""

    name: str
    device: str
    dtype: str
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class Placement:
    """A model on a device, and the bytes that it needs there."""

    name: str
    device: Device
    dtype: str
    weights_bytes: int
    activation_bytes: int
    cache_bytes: int  # under `cache: window`

    @property
    def needed_bytes(self) -> int:
        return self.weights_bytes + self.activation_bytes + self.cache_bytes

    @property
    def account(self) -> str:
        return (
            f"{self.name} needs {readable(self.weights_bytes)} of weights"
            f" + {readable(self.activation_bytes)} of activations + {readable(self.cache_bytes)} of keys and values"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """All placements, and in words what stands in their way."""

    num_positions: int
    placements: tuple[Placement, ...]
    problems: tuple[str, ...]

    def check(self) -> None:
        """Raises PlacementError if some model cannot be where it was wished."""
        if self.problems:
            raise PlacementError("; ".join(self.problems))


def make_plan(wishes: Sequence[Wish], devices: Sequence[Device], max_batch_positions: int | None = None) -> Plan:
    """Place every model with room for one packed forward of `max_batch_positions` and for keeping their keys and
    values; models that share a device all at once, since each has a worker of its own.
    """
    num_positions = max_batch_positions or PLANNED_POSITIONS
    placements, problems = [], []
    for wish in wishes:
        try:
            device = choose_device(wish.device, devices)
        except PlacementError as error:
            problems.append(f"{wish.name}: {error}")
            continue
        activations = activation_bytes(wish.footprint, num_positions, device.name)
        kept = num_positions * wish.footprint.cache_bytes
        placements.append(Placement(wish.name, device, wish.dtype, wish.footprint.weights_bytes, activations, kept))
    for device in devices:
        problems += _shortfall(device, [placement for placement in placements if placement.device == device])
    return Plan(num_positions, tuple(placements), tuple(problems))


def activation_bytes(footprint: Footprint, num_positions: int, device: str) -> int:
    """What a packed forward takes on a device: the head is read in tiles, whose size depends on it."""
    return footprint.activation_bytes(num_positions, most_logits(footprint.vocab_rows, torch.device(device)))


def _shortfall(device: Device, placements: Sequence[Placement]) -> list[str]:
    if sum(placement.needed_bytes for placement in placements) <= device.free_bytes:
        return []
    accounts = " and ".join(placement.account for placement in placements)
    ways = ["another device"]
    if sum(placement.weights_bytes for placement in placements) < device.free_bytes:
        ways.append("a smaller limits.max_batch_positions")
    if any(placement.dtype == "float32" for placement in placements):
        ways.insert(0, "dtype bfloat16")
    remedies = " or ".join(filter(None, (", ".join(ways[:-1]), ways[-1])))
    return [f"{accounts} on {device.name}, which has {readable(device.free_bytes)} free: use {remedies}"]


def readable(num_bytes: int) -> str:
    """Bytes by powers of ten, as memory is sold."""
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:,.1f} MB"
