"""A batch's rows as what one forward reads: a member's `Pack`, made of slices of the batch's arrays."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from tie_core.engine.row_state import SUPPRESSIONS, Ints, RowArrays
from tie_core.engine.watch import Watch, read_at
from tie_core.member import Pack, Whole, Windowed
from tie_core.models.key_values import CanvasCache
from tie_core.models.mask_predictor import MaskPredictor
from tie_core.options import SuppressEnd


class Packer:
    """Packs the rows of one batch. `caches` are theirs; `ids` is what they hold now, on the model's device, `[N]`."""

    def __init__(
        self, rows: RowArrays, caches: Sequence[CanvasCache | None], ids: Tensor, model: MaskPredictor
    ) -> None:
        self._rows = rows
        self._caches = caches
        self._ids = ids
        self._model = model
        self._lengths = tuple(rows.row["length"].tolist())
        self._first_windowed = len(caches) - int(rows.row["is_cached"].sum())
        suppress_end = rows.row["suppress_end"]
        self._edges = [0, *(1 + np.flatnonzero(np.diff(suppress_end))).tolist(), len(caches)]
        self._treatments = [SUPPRESSIONS[suppress_end[edge]] for edge in self._edges[:-1]]

    def pack(self, watch: Watch, first: int, last: int) -> Pack:
        """The rows from `first` to before `last`, one at least."""
        middle = max(first, min(self._first_windowed, last))
        return Pack(
            self._whole(watch, first, middle) if first < middle else None,
            self._windowed(watch, middle, last) if middle < last else None,
            self._groups(watch, first, last),
        )

    def _whole(self, watch: Watch, first: int, last: int) -> Whole:
        start, stop = int(self._rows.bounds[first]), int(self._rows.bounds[last])
        positions = watch.positions[watch.span(first, last)] - start
        return Whole(self._ids[start:stop], self._lengths[first:last], torch.from_numpy(positions))

    def _windowed(self, watch: Watch, first: int, last: int) -> Windowed:
        """Windows go in the order of their canvases' places in the pool."""
        places = self._places(first, last)
        order = np.argsort([place.start for place in places])
        start, stop = int(self._rows.bounds[first]), int(self._rows.bounds[last])
        read = start + np.flatnonzero(watch.is_read[start:stop])
        windows = np.split(read, np.searchsorted(read, self._rows.starts[first + 1 : last]))
        ids = self._model.upload(torch.from_numpy(np.concatenate([windows[number] for number in order])))
        return Windowed(
            self._ids[ids],
            tuple(torch.from_numpy(windows[number] - self._rows.starts[first + number]) for number in order),
            tuple(places[number] for number in order),
            torch.from_numpy(self._rows_read(watch, first, last, read, order)),
        )

    def _places(self, first: int, last: int) -> list[range]:
        pool = self._model.key_values
        kept = zip(self._caches[first:last], self._lengths[first:last], strict=True)
        return [cache.place(pool, length) for cache, length in kept if cache is not None]

    def _rows_read(self, watch: Watch, first: int, last: int, read: Ints, order: Ints) -> Ints:
        """Where the watched positions are read, counted along the windows in `order`; `read` is them in row order."""
        watched = watch.span(first, last)
        row_of = watch.row_of[watched]
        at = read_at(self._rows, watch.positions[watched], row_of, self._model.logits_are_shifted)
        num_read = watch.num_read[first:last]
        moved = np.empty_like(num_read)
        moved[order] = np.cumsum(num_read[order]) - num_read[order]
        moved -= np.cumsum(num_read) - num_read
        return np.searchsorted(read, at) + moved[row_of - first]

    def _groups(self, watch: Watch, first: int, last: int) -> tuple[tuple[SuppressEnd, int], ...]:
        inside = [
            (treatment, watch.span(max(start, first), min(stop, last)))
            for treatment, (start, stop) in zip(self._treatments, pairwise(self._edges), strict=True)
            if start < last and stop > first
        ]
        return tuple((treatment, watched.stop - watched.start) for treatment, watched in inside)
