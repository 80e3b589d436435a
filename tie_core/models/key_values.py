"""Keys and values of canvases between forwards: a pool of positions, in which each canvas has a range of its own.

A forward writes what it computed at the positions it read, and attends to whole canvases. transformers calls it as a
cache. Ranges are reserved and written by the thread that uses the model; any thread may release one.
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


class PooledLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer of the pool: keys and values `[1, H_kv, P, D]`, P positions."""

    def __init__(self, pool: "KeyValues") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pool = pool

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        shape = (1, key_states.shape[1], self._pool.num_positions, key_states.shape[3])
        self.keys, self.values = key_states.new_empty(shape), value_states.new_empty(shape)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Write `[1, H_kv, N + filler, D]` at the N places of this forward; returns the whole pool."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        places = self._pool.places
        self.keys.index_copy_(2, places, key_states[:, :, : len(places)])
        self.values.index_copy_(2, places, value_states[:, :, : len(places)])
        return self.keys, self.values

    def resize(self, num_positions: int) -> None:
        """Keep what is there; 0 gives the memory back."""
        if num_positions == 0:
            self.keys = self.values = None
            self.is_initialized = False
        if self.keys is not None and self.values is not None:
            spare = (0, 0, 0, num_positions - self.keys.shape[2])
            self.keys, self.values = pad(self.keys, spare), pad(self.values, spare)

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return self._pool.num_positions

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0


class KeyValues(Cache):
    """The pool of one resident model."""

    def __init__(self, num_layers: int) -> None:
        self.num_positions = 0
        self.places = torch.empty(0, dtype=torch.long)  # [N], where the running forward writes
        self._free: list[range] = []  # in order, no two touch
        self._released: deque[range] = deque()
        self._pooled = [PooledLayer(self) for _ in range(num_layers)]
        super().__init__(layers=[*self._pooled])

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
        for layer in self._pooled:
            layer.resize(num_positions)


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
