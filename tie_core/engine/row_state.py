"""Rows as arrays: a record for the row, and one for each position of its canvas.

Made from a job when it is submitted. A batch holds many rows end to end; between two batches each has its own again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tie_core.batched_unmasking import limit_of
from tie_core.canvas import Canvas
from tie_core.denoising import Denoising, Job
from tie_core.scoring import scored_positions

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
NEVER: Final = -1
NO_LIMIT: Final = np.iinfo(np.int64).max

ROW: Final = np.dtype(
    [
        # where things are, in positions of the whole canvas
        ("length", np.int64),
        ("prompt", np.int64),
        ("reasoning_stop", np.int64),
        ("answer_start", np.int64),
        ("scored_start", np.int64),
        ("block_origin", np.int64),
        ("block_size", np.int64),
        # what was asked
        ("is_decoding", np.bool_),
        ("limit", np.float64),  # of the unmasking policy
        ("fill_end", np.bool_),
        ("eos_id", np.int64),
        ("most_scored", np.int64),
        ("last_step", np.int64),
        ("to_block_boundary", np.bool_),
        ("is_cached", np.bool_),
        ("refresh_interval", np.int64),
        # how far it is
        ("num_steps", np.int64),
        ("num_scored", np.int64),  # |A| of the last prediction
        ("since_whole", np.int64),  # forwards since the one that read the whole canvas
        ("num_windowed", np.int64),
    ]
)
NAMES: Final = ROW.names or ()
CELL: Final = np.dtype(
    [
        ("is_masked", np.bool_),
        ("token", np.int64),  # the argmax of the last prediction
        ("scored_in", np.int64),  # the last step in whose A it was
        ("top1", np.float64),  # then
        ("num_changed", np.int64),  # at place n - 1: changes among n scored positions, over all steps
        ("committed_in", np.int64),  # the step, 0 if it was not since the job was told
        ("is_filled", np.bool_),  # committed since it followed from an end
        ("confidence", np.float64),  # then
        ("is_stale", np.bool_),  # committed since the canvas was last read whole
    ]
)


@dataclass(frozen=True, slots=True)
class RowState:
    """One row's."""

    row: NDArray[np.void]  # [1] ROW
    cells: NDArray[np.void]  # [T] CELL
    ids: Ints  # [T]


@dataclass(slots=True)
class RowArrays:
    """R rows, whose canvases of N positions together lie end to end."""

    row: NDArray[np.void]  # [R] ROW
    cells: NDArray[np.void]  # [N] CELL
    ids: Ints  # [N]
    bounds: Ints = field(init=False)  # [R + 1], where each canvas begins and ends
    starts: Ints = field(init=False)  # [R]
    row_of: Ints = field(init=False)  # [N]

    def __post_init__(self) -> None:
        self.bounds = bounds_of(self.row["length"])
        self.starts = self.bounds[:-1]
        self.row_of = np.repeat(np.arange(len(self.row)), self.row["length"])

    @classmethod
    def joined(cls, states: Sequence[RowState]) -> "RowArrays":
        """Takes a lone state over as it is."""
        if len(states) == 1:
            return cls(states[0].row, states[0].cells, states[0].ids)
        return cls(*(np.concatenate([getattr(state, name) for state in states]) for name in ("row", "cells", "ids")))

    def span(self, number: int) -> slice:
        """The positions of one row."""
        return slice(int(self.bounds[number]), int(self.bounds[number + 1]))

    def split(self) -> Iterator[RowState]:
        for number in range(len(self.row)):
            span = self.span(number)
            yield RowState(self.row[number : number + 1], self.cells[span], self.ids[span])

    def count(self, rows: Ints) -> Ints:
        """[R]: how often each row is in `rows`."""
        return np.bincount(rows, minlength=len(self.row))


def bounds_of(lengths: Ints) -> Ints:
    """Where parts of these lengths begin and end, end to end: one more than there are parts."""
    bounds = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds


def state_of(job: Job) -> RowState:
    """A job whose canvas was not read in a window yet."""
    canvas = job.canvas
    ids = np.array(canvas.ids, dtype=np.int64)
    cells = np.zeros(len(ids), CELL)
    prompt = len(canvas.prompt)
    cells["is_masked"][prompt:] = ids[prompt:] == canvas.layout.mask_id
    cells["scored_in"] = NEVER
    values = _places(canvas)
    if isinstance(job, Denoising):
        values |= _orders(job)
        _remember_last(values, cells, job)
    row = np.array([tuple(values.get(name, 0) for name in NAMES)], dtype=ROW)
    return RowState(row, cells, ids)


def _places(canvas: Canvas) -> dict[str, Any]:
    layout, prompt = canvas.layout, len(canvas.prompt)
    return {
        "length": prompt + layout.length,
        "prompt": prompt,
        "reasoning_stop": prompt + layout.reasoning,
        "answer_start": prompt + layout.reasoning + layout.suffix,
        "scored_start": prompt + layout.scored_region.start,
        "block_origin": prompt + canvas.block_origin,
        "block_size": layout.block_size,
        "eos_id": NEVER if layout.eos_id is None else layout.eos_id,
    }


def _orders(job: Denoising) -> dict[str, Any]:
    work, options, scope = job.work, job.options, job.history.scope
    assert scope.region == job.canvas.layout.scored_region
    return {
        "is_decoding": True,
        "limit": limit_of(options),
        "fill_end": options.fill_end,
        "most_scored": NO_LIMIT if scope.limit is None else scope.limit,
        "last_step": NO_LIMIT if work.num_steps is None else work.num_steps,
        "to_block_boundary": work.to_block_boundary,
        "is_cached": job.cache is not None,
        "num_steps": job.num_steps,
        "refresh_interval": options.refresh_interval,
        "since_whole": options.refresh_interval,  # so the first forward reads the whole canvas
    }


def _remember_last(values: dict[str, Any], cells: NDArray[np.void], job: Denoising) -> None:
    """The next prediction is compared with the last one of the job's history."""
    last = job.history.last
    if last is None:
        return
    generated = cells[len(job.canvas.prompt) :]
    scored = scored_positions(last, job.history.scope)
    generated["token"][list(last.positions)] = last.tokens
    generated["scored_in"][list(scored)] = job.num_steps
    values["num_scored"] = len(scored)
