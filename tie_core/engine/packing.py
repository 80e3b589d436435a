"""A batch's rows as what one forward reads: a member's `Pack`, made of slices of the batch's arrays."""

from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise

import numpy as np
import torch
from torch import Tensor

from tie_core.denoising import Job
from tie_core.engine.row_state import Ints, RowArrays
from tie_core.engine.watch import Watch, read_at
from tie_core.member import Pack, Whole, Windowed
from tie_core.models.mask_predictor import MaskPredictor
from tie_core.options import SuppressEnd


def packing_key(job: Job) -> tuple[bool, SuppressEnd, int]:
    """`Query.packing_key`: in this order rows that are read alike and canvases of one length are neighbours."""
    return job.cache is not None, job.options.suppress_end, len(job.canvas.prompt) + job.canvas.layout.length


class Packer:
    """Packs the rows of one batch. They come in the order of `packing_key`; those without a cache are first.

    `ids [N]` is what they hold, on the model's device, whenever a pack is made.
    """

    def __init__(self, rows: RowArrays, jobs: Sequence[Job], ids: Tensor, model: MaskPredictor) -> None:
        self._rows = rows
        self._caches = [job.cache.kept if job.cache else None for job in jobs]
        self._ids = ids
        self._model = model
        self._lengths = tuple(rows.row["length"].tolist())
        self._first_windowed = self._caches.count(None)
        treatments = [(each, len([*alike])) for each, alike in groupby(job.options.suppress_end for job in jobs)]
        edges = accumulate((num_alike for _, num_alike in treatments), initial=0)
        self._groups = [(each, *edge) for (each, _), edge in zip(treatments, pairwise(edges), strict=True)]

    def pack(self, watch: Watch, first: int, last: int) -> Pack:
        """The rows from `first` to before `last`, one at least."""
        middle = max(first, min(self._first_windowed, last))
        return Pack(
            self._whole(watch, first, middle) if first < middle else None,
            self._windowed(watch, middle, last) if middle < last else None,
            self._group_sizes(watch, first, last),
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

    def _group_sizes(self, watch: Watch, first: int, last: int) -> tuple[tuple[SuppressEnd, int], ...]:
        inside = [
            (suppress_end, watch.span(max(start, first), min(stop, last)))
            for suppress_end, start, stop in self._groups
            if start < last and stop > first
        ]
        return tuple((suppress_end, watched.stop - watched.start) for suppress_end, watched in inside)
