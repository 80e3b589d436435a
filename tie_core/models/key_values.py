"""Keys and values of canvases between forwards: a pool of positions, in which each canvas has a range of its own.

A forward writes what it computed at the positions it read, and attends to whole canvases; transformers sees a cache.
Ranges are promised by the thread that hands out work, reserved by the one that uses the model and written by its lanes;
any thread may release one or give a promise back.
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
"""A pool grows by at least so many positions, and by half of what it has: what it has is copied each time."""


class KeyValues:
    """The pool of one resident model: for each layer keys and values `[1, H_kv, P, D]`, P positions."""

    def __init__(
        self, num_layers: int, num_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.num_positions = 0
        self._num_promised = 0
        self._given_back: deque[int] = deque()
        nothing = torch.empty(1, num_heads, 0, head_dim, dtype=dtype, device=device)
        self._keys = [nothing] * num_layers
        self._values = [nothing] * num_layers
        self._free: list[range] = []  # in order, no two touch
        self._released: deque[range] = deque()

    def renewed(self) -> "KeyValues":
        """An empty pool like this one."""
        keys = self._keys[0]
        return KeyValues(len(self._keys), keys.shape[1], keys.shape[3], keys.dtype, keys.device)

    def at(self, places: Tensor) -> Cache:
        """For one forward, which writes the N positions it reads at `places [N]` and attends to all of the pool."""
        return Cache(layers=[_Layer(*layer, places) for layer in zip(self._keys, self._values, strict=True)])

    def promise(self, length: int, most_positions: int) -> bool:
        """Whether a canvas of `length` has room beside those that were promised theirs. It counts until it is given
        back.
        """
        while self._given_back:
            self._num_promised -= self._given_back.popleft()
        if self._num_promised + length > most_positions:
            return False
        self._num_promised += length
        return True

    def give_back(self, length: int) -> None:
        """A promise is not needed any more; from any thread."""
        self._given_back.append(length)

    def reserve(self, length: int) -> range:
        """A range for a canvas; what it holds is undefined until it is written. The pool grows if need be.

        Raises:
            torch.OutOfMemoryError: it cannot grow so far. It is then what it was.
        """
        self.take_back()
        for index, spare in enumerate(self._free):
            if len(spare) >= length:
                self._free[index : index + 1] = [spare[length:]] if len(spare) > length else []
                return spare[:length]
        return self._grow(length)

    def release(self, place: range) -> None:
        """Give a range back, from any thread; its memory is reused at the next reservation."""
        self._released.append(place)

    def take_back(self) -> None:
        """Make released ranges free; a pool that nobody uses then frees its memory."""
        while self._released:
            self._free.append(self._released.popleft())
        self._free = _joined(self._free)
        if self._free == [range(self.num_positions)]:  # nobody is here
            self._free = []
            self.num_positions = 0
            for layers in (self._keys, self._values):
                layers[:] = [states.new_empty(*states.shape[:2], 0, states.shape[3]) for states in layers]

    def _grow(self, length: int) -> range:
        end = self.num_positions
        has_tail = bool(self._free) and self._free[-1].stop == end
        start = self._free[-1].start if has_tail else end
        new_end = max(start + length, end + max(GROWTH, end // 2))
        for layers in (self._keys, self._values):  # a layer at a time, so that little is held twice
            for index, states in enumerate(layers):
                layers[index] = pad(states, (0, 0, 0, max(0, new_end - states.shape[2])))
        self.num_positions = new_end
        if has_tail:
            self._free.pop()
        if start + length < new_end:
            self._free.append(range(start + length, new_end))
        return range(start, start + length)


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

    def is_promised(self, pool: KeyValues, length: int, most_positions: int) -> bool:
        """Whether a pool of so many positions has room for the canvas. To be asked once, before its range."""
        if not pool.promise(length, most_positions):
            return False
        weakref.finalize(self, pool.give_back, length)
        return True

    def place(self, pool: KeyValues, length: int) -> range:
        """The canvas's range, reserved when it is first asked for."""
        if self._place is None:
            self._place = pool.reserve(length)
            weakref.finalize(self, pool.release, self._place)
        assert len(self._place) == length
        return self._place
