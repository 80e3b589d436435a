"""Statistics straight from hidden rows: the language-model head, a tile of positions and tokens at a time.

Whole logits never exist: a tile stays in the cache, and a few cheap passes over it give everything. `statistics` of
whole logits is the plain path that this agrees with. Knows no model beyond its head's weight.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil
from typing import Final, get_args

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from tie_core.models.invariance import ROW_MULTIPLE, num_filler_rows
from tie_core.models.lanes import Lanes
from tie_core.options import SuppressEnd
from tie_core.prediction import EndTokens, Statistics, joined

TILE_ROWS: Final = 256
CPU_TILE_TOKENS: Final = 5120
"""256 x 5,120 float32 logits are 5 MiB, which the caches hold; smaller tiles cost more in calls than they save.
Elsewhere a tile holds the whole vocabulary."""
LANE_LOGITS: Final = 500_000
"""A lane is worth waking for so many logits: some milliseconds of work."""
BLOCK: Final = 64
"""The best token is looked for by value, block by block, and by index in one block: over whole rows that is dear."""
NOTHING: Final = float("-inf")
LEAST_SHIFTED: Final = -1e4
"""exp of it is 0, and 0 times it is 0; 0 times -inf would be no number."""
LEAST_BEST: Final = -1e30
"""Below every logit, and far from overflow when multiplied by a count."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A range of the vocabulary. Of its tokens, counted from `first`: those that no step may commit, and those that
    leave the softmax of the confidence.
    """

    first: int
    weight: Tensor  # [C, W]
    unproposed: Tensor  # [F] long
    held_back: Tensor  # [E] long


class TiledHead:
    """A language-model head, read for its statistics. `forbidden` are the ids that no step may commit.

    `lanes` share the rows among them; without any it is the caller's thread alone.
    """

    def __init__(self, weight: Tensor, forbidden: Sequence[int], end: EndTokens, lanes: Lanes | None = None) -> None:
        self._lanes = lanes or Lanes()
        self._tiles: dict[SuppressEnd, list[Tile]] = {}
        self._held_back: dict[SuppressEnd, Tensor] = {}
        self._lane_rows = ROW_MULTIPLE * ceil(LANE_LOGITS / len(weight) / ROW_MULTIPLE)
        for suppress_end in get_args(SuppressEnd):
            held_back = end.held_back(suppress_end)
            unproposed = {*forbidden, *(held_back if suppress_end == "prediction" else ())}
            self._tiles[suppress_end] = list(_tiles(weight, unproposed, held_back))
            self._held_back[suppress_end] = torch.tensor(held_back, dtype=torch.long, device=weight.device)

    def statistics(self, hidden: Tensor, suppress_end: SuppressEnd = "off") -> Statistics:
        """What `statistics` says of the logits of `hidden [K, W]`.

        In float32 on the CPU a row's result is the same bits whatever the other rows are.
        """
        filler = hidden.new_zeros(num_filler_rows(len(hidden), hidden.device, hidden.dtype), hidden.shape[1])
        rows = torch.cat([hidden, filler])
        size = min(TILE_ROWS, max(self._share(len(rows)), self._lane_rows))

        def read(chunk: Tensor) -> Statistics:
            return _read(chunk, self._tiles[suppress_end]).statistics(self._held_back[suppress_end])

        read_chunks = self._lanes.map(read, torch.split(rows, size))
        return Statistics(*(column[: len(hidden)] for column in joined(read_chunks).columns))

    def _share(self, num_rows: int) -> int:
        """Of one lane, if all take part."""
        return ROW_MULTIPLE * ceil(num_rows / ROW_MULTIPLE / self._lanes.count)


def most_logits(vocab_rows: int, device: torch.device) -> int:
    """Logits that are in memory at once: those of a tile."""
    return TILE_ROWS * _tile_tokens(vocab_rows, device)


def _tile_tokens(vocab_rows: int, device: torch.device) -> int:
    return min(CPU_TILE_TOKENS, vocab_rows) if device.type == "cpu" else vocab_rows


def _tiles(weight: Tensor, unproposed: Iterable[int], held_back: Iterable[int]) -> Iterator[Tile]:
    size = _tile_tokens(len(weight), weight.device)

    def within(token_ids: Iterable[int], first: int) -> Tensor:
        chosen = sorted(token - first for token in token_ids if first <= token < first + size)
        return torch.tensor(chosen, dtype=torch.long, device=weight.device)

    for first in range(0, len(weight), size):
        yield Tile(first, weight[first : first + size], within(unproposed, first), within(held_back, first))


def _read(hidden: Tensor, tiles: Sequence[Tile]) -> "Reading":
    """One chunk of rows over the whole vocabulary."""
    first, *rest = (_read_tile(hidden, tile) for tile in tiles)
    return reduce(Reading.joined, rest, first)


def _read_tile(hidden: Tensor, tile: Tile) -> "Reading":
    logits = linear(hidden, tile.weight).float()  # [K, C]
    if remainder := logits.shape[1] % BLOCK:
        logits = pad(logits, (0, BLOCK - remainder), value=NOTHING)
    best = proposal = TopTwo.of(logits, tile.first)
    if len(tile.unproposed):
        proposal = TopTwo.of(logits.index_fill(1, tile.unproposed, NOTHING), tile.first)
    held_back = Mass.of(logits.index_fill(1, tile.held_back, NOTHING)) if len(tile.held_back) else None
    mass = Mass.of(logits)  # last: it uses the logits up
    return Reading(best, proposal, mass, held_back or mass)


@dataclass(frozen=True, slots=True)
class TopTwo:
    """The two highest logits and the token of the highest, the lowest one of equals; all `[K]`."""

    token: Tensor
    value: Tensor
    second: Tensor

    @classmethod
    def of(cls, logits: Tensor, first_token: int) -> "TopTwo":
        blocks = logits.view(len(logits), logits.shape[1] // BLOCK, BLOCK)  # [K, C / BLOCK, BLOCK]
        peaks = blocks.amax(2)
        value, block = peaks.max(1, keepdim=True)  # [K, 1]
        inside = blocks.take_along_dim(block[:, :, None], 1)[:, 0]  # [K, BLOCK]
        place = inside.argmax(1, keepdim=True)
        second = torch.maximum(peaks.scatter(1, block, NOTHING).amax(1), inside.scatter(1, place, NOTHING).amax(1))
        return cls((first_token + block * BLOCK + place)[:, 0], value[:, 0], second)

    def joined(self, other: "TopTwo") -> "TopTwo":
        """Of both together; `other` holds higher tokens."""
        loses = other.value > self.value
        return TopTwo(
            torch.where(loses, other.token, self.token),
            torch.maximum(self.value, other.value),
            torch.maximum(torch.minimum(self.value, other.value), torch.maximum(self.second, other.second)),
        )


@dataclass(frozen=True, slots=True)
class Mass:
    """Sums over tokens, relative to the highest logit: of e^s, and of s e^s, for s = logit - highest; all `[K]`."""

    highest: Tensor
    total: Tensor
    moment: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> "Mass":
        """Uses `logits` up."""
        highest = logits.amax(1).clamp_(min=LEAST_BEST)
        shifted = logits.sub_(highest[:, None]).clamp_(min=LEAST_SHIFTED)
        probabilities = shifted.softmax(1)
        total = probabilities.amax(1).reciprocal_()
        return cls(highest, total, torch.linalg.vecdot(probabilities, shifted) * total)

    def joined(self, other: "Mass") -> "Mass":
        highest = torch.maximum(self.highest, other.highest)
        one, two = self._relative_to(highest), other._relative_to(highest)
        return Mass(highest, one.total + two.total, one.moment + two.moment)

    def _relative_to(self, highest: Tensor) -> "Mass":
        below = self.highest - highest
        scale = below.exp()
        return Mass(highest, scale * self.total, scale * (self.moment + below * self.total))

    @property
    def log_sum(self) -> Tensor:
        return self.highest + self.total.log()

    @property
    def negative_entropy(self) -> Tensor:
        """In nats."""
        return self.moment / self.total - self.total.log()


@dataclass(frozen=True, slots=True)
class Reading:
    """What part of the vocabulary says. `kept` is the mass without the tokens that are held back."""

    best: TopTwo
    proposal: TopTwo
    mass: Mass
    kept: Mass

    def joined(self, other: "Reading") -> "Reading":
        return Reading(
            self.best.joined(other.best),
            self.proposal.joined(other.proposal),
            self.mass.joined(other.mass),
            self.kept.joined(other.kept),
        )

    def statistics(self, held_back: Tensor) -> Statistics:
        log_sum, kept = self.mass.log_sum, self.kept.log_sum
        top1 = (self.best.value - log_sum).exp()
        confidences = (self.proposal.value - kept).exp()
        return Statistics(
            tokens=self.best.token,
            top1=top1,
            margin=top1 - (self.best.second - log_sum).exp(),
            negative_entropy=self.mass.negative_entropy,
            proposals=self.proposal.token,
            confidences=confidences.masked_fill(torch.isin(self.proposal.token, held_back), 0.0),
            is_finite=log_sum.isfinite() & confidences.isfinite(),
        )
