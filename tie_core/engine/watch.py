"""What the next forward of a batch is asked: which positions of which rows, and how far the rows are.

The arrays' word for `Canvas.active_block`, `eligible`, `watched` and `is_at_block_boundary`, and for `WindowCache`.
"""

from dataclasses import dataclass

import numpy as np

from tie_core.engine.row_state import Bools, Ints, RowArrays


@dataclass(frozen=True, slots=True)
class Watch:
    """K watched positions of N, row by row in order."""

    positions: Ints  # [K]
    row_of: Ints  # [K]
    is_eligible: Bools  # [K]
    is_scored: Bools  # [K], in the scored region
    bounds: Ints  # [R + 1], where each row's begin and end
    is_complete: Bools  # [R]
    is_at_boundary: Bools  # [R]
    is_read: Bools  # [N]
    num_read: Ints  # [R]

    def span(self, first: int, last: int) -> slice:
        """The watched positions of the rows from `first` to before `last`."""
        return slice(int(self.bounds[first]), int(self.bounds[last]))


class Watcher:
    """Looks at the rows of one batch, and remembers their active blocks until one is finished."""

    def __init__(self, rows: RowArrays, has_windows: bool, logits_are_shifted: bool) -> None:
        self.region_stop = rows.starts  # [R], of the region that is being unmasked
        self._rows = rows
        self._logits_are_shifted = logits_are_shifted
        self._numbers = np.arange(len(rows.row) + 1)
        self._scored_start = rows.starts + rows.row["scored_start"]
        self._block_start = self._block_stop = rows.starts  # empty ones, finished already
        self._everything = np.ones(len(rows.ids), dtype=np.bool_)
        self._has_windows = has_windows

    def look(self) -> Watch:
        rows = self._rows
        masked = rows.cells["is_masked"].nonzero()[0]
        row_of = rows.row_of[masked]
        is_eligible = masked < self._block_stop[row_of]
        num_eligible = rows.count(row_of[is_eligible])
        if not num_eligible.all():
            self._move_on(masked)
            is_eligible = masked < self._block_stop[row_of]
            num_eligible = rows.count(row_of[is_eligible])
        is_scored = masked >= self._scored_start[row_of]
        chosen = is_eligible | is_scored
        positions, row_of = masked[chosen], row_of[chosen]
        is_read, num_read = self._everything, rows.row["length"]
        if self._has_windows:
            is_read = self._windows(positions, row_of)
            num_read = rows.count(rows.row_of[is_read])
        return Watch(
            positions,
            row_of,
            is_eligible[chosen],
            is_scored[chosen],
            bounds=row_of.searchsorted(self._numbers),
            is_complete=num_eligible == 0,
            is_at_boundary=num_eligible == self._block_stop - self._block_start,
            is_read=is_read,
            num_read=num_read,
        )

    def _move_on(self, masked: Ints) -> None:
        """To the leftmost unfinished blocks. Answers lie right of the reasoning."""
        row, starts = self._rows.row, self._rows.starts
        end = self._rows.bounds[-1:]
        first = np.concatenate([masked, end])[masked.searchsorted(starts)]  # another row's, where one is complete
        is_answering = first >= starts + row["reasoning_stop"]
        region_start = starts + np.where(is_answering, row["answer_start"], row["prompt"])
        self.region_stop = starts + np.where(is_answering, row["length"], row["reasoning_stop"])
        origin = starts + row["block_origin"]
        origin = np.where((origin >= region_start) & (origin < self.region_stop), origin, region_start)
        start = first - (first - origin) % row["block_size"]
        self._block_start = np.maximum(start, region_start)
        self._block_stop = np.minimum(start + row["block_size"], self.region_stop)

    def _windows(self, watched: Ints, row_of: Ints) -> Bools:
        """Whole canvases, or the active block, what is watched, and what was committed since the whole was read."""
        rows = self._rows
        position = np.arange(len(rows.ids))
        in_block = (position >= self._block_start[rows.row_of]) & (position < self._block_stop[rows.row_of])
        is_read: Bools = is_read_whole(rows)[rows.row_of] | rows.cells["is_stale"] | in_block
        is_read[watched] = True
        is_read[read_at(rows, watched, row_of, self._logits_are_shifted)] = True
        return is_read


def is_read_whole(rows: RowArrays) -> Bools:
    """`[R]`, in the next forward."""
    return ~rows.row["is_cached"] | (rows.row["since_whole"] >= rows.row["refresh_interval"])


def read_at(rows: RowArrays, positions: Ints, row_of: Ints, logits_are_shifted: bool) -> Ints:
    """Where positions are read: with shifted logits one to the left."""
    return np.maximum(positions - 1, rows.starts[row_of]) if logits_are_shifted else positions
