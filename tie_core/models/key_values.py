"""Keys and values of canvases between forwards: a pool of positions, in which each canvas has a range of its own.

A forward writes what it computed at the positions it read, and attends to whole canvases; transformers sees a cache.
Ranges are reserved by the thread that uses the model and written by its lanes; any thread may release one.
"""

import weakref
from collections import deque
from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH: Final = 1024
"""A pool grows by at least so many positions."""


class KeyValues:
    """The pool of one resident model: for each layer keys and values `[1, H_kv, P, D]`, P positions."""

    def __init__(
        self, num_layers: int, num_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.num_positions = 0
        nothing = torch.empty(1, num_heads, 0, head_dim, dtype=dtype, device=device)
        self._keys = [nothing] * num_layers
        self._values = [nothing] * num_layers
        self._free: list[range] = []  # in order, no two touch
        self._released: deque[range] = deque()

    def at(self, places: Tensor) -> Cache:
        """For one forward, which writes the N positions it reads at `places [N]` and attends to all of the pool."""
        return Cache(layers=[_Layer(*layer, places) for layer in zip(self._keys, self._values, strict=True)])

    def reserve(self, length: int) -> range:
        """A range for a canvas; what it holds is undefined until it is written. The pool grows if need be."""
        self._take_back()
        for index, spare in enumerate(self._free):
            if len(spare) >= length:
                self._free[index : index + 1] = [spare[length:]] if len(spare) > length else []
                return spare[:length]
        return self._grow(length)

    def release(self, place: range) -> None:
        """Give a range back, from any thread; its memory is reused or freed at the next reservation."""
        self._released.append(place)

    def _take_back(self) -> None:
        while self._released:
            self._free.append(self._released.popleft())
        self._free = _joined(self._free)
        if self._free == [range(self.num_positions)]:  # nobody is here
            self._free = []
            self._resize(0)

    def _grow(self, length: int) -> range:
        end = self.num_positions
        start = self._free.pop().start if self._free and self._free[-1].stop == end else end
        self._resize(max(start + length, end + GROWTH))
        if start + length < self.num_positions:
            self._free.append(range(start + length, self.num_positions))
        return range(start, start + length)

    def _resize(self, num_positions: int) -> None:
        self.num_positions = num_positions
        self._keys = [_resized(states, num_positions) for states in self._keys]
        self._values = [_resized(states, num_positions) for states in self._values]


def _resized(states: Tensor, num_positions: int) -> Tensor:
    """What is there is kept; a pool without positions holds no memory."""
    if num_positions == 0:
        return states.new_empty(*states.shape[:2], 0, states.shape[3])
    return pad(states, (0, 0, 0, num_positions - states.shape[2]))


class _Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer of the pool, as one forward writes it."""

    def __init__(self, keys: Tensor, values: Tensor, places: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pooled = keys, values
        self._places = places

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Write `[1, H_kv, N + filler, D]`; returns keys and values of the whole pool."""
        for pooled, states in zip(self._pooled, (key_states, value_states), strict=True):
            pooled.index_copy_(2, self._places, states[:, :, : len(self._places)])
        return self._pooled

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is lazy here."""

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return self._pooled[0].shape[2]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0


def _joined(ranges: Iterable[range]) -> list[range]:
    """In order, those that touch made one."""
    joined: list[range] = []
    for each in sorted(ranges, key=lambda each: each.start):
        if joined and joined[-1].stop == each.start:
            joined[-1] = range(joined[-1].start, each.stop)
        else:
            joined.append(each)
    return joined


class CanvasCache:
    """What one job keeps of its canvas in a pool. Given back when the last reference to it goes, however a job ends."""

    def __init__(self) -> None:
        self._place: range | None = None

    def place(self, pool: KeyValues, length: int) -> range:
        """The canvas's range, reserved when it is first asked for."""
        if self._place is None:
            self._place = pool.reserve(length)
            weakref.finalize(self, pool.release, self._place)
        assert len(self._place) == length
        return self._place
