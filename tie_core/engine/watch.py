"""What the next forward of a batch is asked: which positions of which rows, and how far the rows are.

The arrays' word for `Canvas.active_block`, `eligible`, `watched` and `is_at_block_boundary`, and for `WindowCache`.
"""

from dataclasses import dataclass

import numpy as np

from tie_core.engine.row_state import Bools, Ints, RowArrays, bounds_of


@dataclass(frozen=True, slots=True)
class Watch:
    """K watched positions of N, row by row in order."""

    positions: Ints  # [K]
    row_of: Ints  # [K]
    is_eligible: Bools  # [K]
    is_scored: Bools  # [K], in the scored region
    bounds: Ints  # [R + 1], where each row's begin and end
    region_stop: Ints  # [R], of the region that is being unmasked
    is_complete: Bools  # [R]
    is_at_boundary: Bools  # [R]
    is_read: Bools  # [N]
    num_read: Ints  # [R]


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The active blocks and the regions that they are in, as positions of N; all `[R]`."""

    start: Ints
    stop: Ints
    region_stop: Ints


def watch(rows: RowArrays, logits_are_shifted: bool) -> Watch:
    masked = np.flatnonzero(rows.cells["is_masked"])
    row_of = rows.row_of[masked]
    ends = rows.bounds[1:]
    first = np.concatenate([masked, ends[-1:]])[np.searchsorted(masked, rows.starts)]  # another row's, if complete
    blocks = _active_blocks(rows, first)
    is_eligible = masked < blocks.stop[row_of]
    is_scored = masked >= (rows.starts + rows.row["scored_start"])[row_of]
    num_eligible = rows.count(row_of[is_eligible])
    chosen = is_eligible | is_scored
    positions, row_of = masked[chosen], row_of[chosen]
    is_read = _is_read(rows, blocks, positions, row_of, logits_are_shifted)
    return Watch(
        positions,
        row_of,
        is_eligible[chosen],
        is_scored[chosen],
        bounds_of(rows.count(row_of)),
        blocks.region_stop,
        is_complete=first >= ends,
        is_at_boundary=num_eligible == blocks.stop - blocks.start,
        is_read=is_read,
        num_read=rows.row["length"] if is_read.all() else rows.count(rows.row_of[is_read]),
    )


def is_read_whole(rows: RowArrays) -> Bools:
    """`[R]`, in the next forward."""
    return ~rows.row["is_cached"] | (rows.row["since_whole"] >= rows.row["refresh_interval"])


def read_at(rows: RowArrays, positions: Ints, row_of: Ints, logits_are_shifted: bool) -> Ints:
    """Where positions are read: with shifted logits one to the left."""
    return np.maximum(positions - 1, rows.starts[row_of]) if logits_are_shifted else positions


def _active_blocks(rows: RowArrays, first: Ints) -> _Blocks:
    """`first [R]` are the leftmost masked positions. Answers lie right of the reasoning."""
    row, starts = rows.row, rows.starts
    is_answering = first >= starts + row["reasoning_stop"]
    region_start = starts + np.where(is_answering, row["answer_start"], row["prompt"])
    region_stop = starts + np.where(is_answering, row["length"], row["reasoning_stop"])
    origin = starts + row["block_origin"]
    origin = np.where((origin >= region_start) & (origin < region_stop), origin, region_start)
    start = first - (first - origin) % row["block_size"]
    stop = np.minimum(start + row["block_size"], region_stop)
    return _Blocks(np.maximum(start, region_start), stop, region_stop)


def _is_read(rows: RowArrays, blocks: _Blocks, watched: Ints, row_of: Ints, logits_are_shifted: bool) -> Bools:
    """Whole canvases, or the active block, what is watched, and what was committed since the whole was read."""
    is_whole = is_read_whole(rows)
    if is_whole.all():
        return np.ones(len(rows.ids), dtype=np.bool_)
    position = np.arange(len(rows.ids))
    in_block = (position >= blocks.start[rows.row_of]) & (position < blocks.stop[rows.row_of])
    is_read: Bools = is_whole[rows.row_of] | rows.cells["is_stale"] | in_block
    is_read[watched] = True
    is_read[read_at(rows, watched, row_of, logits_are_shifted)] = True
    return is_read
