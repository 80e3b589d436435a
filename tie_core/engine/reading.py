"""One forward of a batch, whatever happens in it: halved where memory runs out, row by row where it raises.

So only a canvas that does not fit alone, or that makes the model fail, goes without.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch

from tie_core.engine.batch import Batch
from tie_core.engine.budget import Budget
from tie_core.engine.devices import give_memory_back
from tie_core.engine.observer import Observer
from tie_core.errors import MemberError, OutOfMemoryError
from tie_core.member import Member
from tie_core.prediction import Columns

MOST_FAILED: Final = 8
"""So many forwards one after the other that fail for all their rows: the model is started anew."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a forward told of a batch: zeros of the rows that failed, and in `errors`, by row, why they did."""

    columns: Columns
    errors: dict[int, MemberError]


class Record:
    """What became of a worker's forwards; to be asked from any thread.

    One in which every row fails may be the row's fault; time after time, with several requests, it is the model's.
    """

    def __init__(self) -> None:
        self.num_sound = 0
        self._num_failed = 0  # since the last sound one
        self._failed_with: set[str] = set()  # requests in those

    def note(self, batch: Batch, errors: Mapping[int, MemberError]) -> None:
        if len(errors) < len(batch.rows):
            self.num_sound += 1
            self._num_failed, self._failed_with = 0, set()
        elif not any(isinstance(error, OutOfMemoryError) for error in errors.values()):
            self._num_failed += 1
            self._failed_with |= {row.request_id for row in batch.rows}

    @property
    def is_failing(self) -> bool:
        return self._num_failed >= MOST_FAILED and len(self._failed_with) > 1


class RetiredError(Exception):
    """Nobody waits for what is read any more."""


class Reader:
    """Reads batches by one member, and shrinks the budget where memory runs out. Stops once its worker `is_retired`."""

    def __init__(
        self, member: Member, budget: Budget, observer: Observer, is_retired: Callable[[], bool] = lambda: False
    ) -> None:
        self._member = member
        self._budget = budget
        self._observer = observer
        self._device = torch.device(member.model.device)
        self._is_retired = is_retired

    def read(self, batch: Batch) -> Told:
        errors: dict[int, MemberError] = {}
        columns = self._read(batch, 0, len(batch.rows), errors)
        is_usable = columns.are_numbers(self._member.model.vocab_rows)
        if not is_usable.all():
            for number in batch.rows_with(~is_usable):
                errors.setdefault(number, MemberError.not_finite(self._member.name))
                columns.clear(batch.watched(number, number + 1))
        return Told(columns, errors)

    def _read(self, batch: Batch, first: int, last: int, errors: dict[int, MemberError]) -> Columns:
        """The rows from `first` to before `last`."""
        if self._is_retired():
            raise RetiredError
        watched = batch.watched(first, last)
        num_positions = int(batch.num_read[first:last].sum())
        raised: MemberError | None = None
        try:
            columns = self._member.read(batch.pack(first, last))
            if columns.are_of(watched.stop - watched.start):
                self._budget.recover(num_positions)
                return columns
            raised = MemberError.wrong_shape(self._member.name)
        except torch.OutOfMemoryError:
            pass  # handled below, where its traceback no longer holds the tensors
        except Exception as error:  # whatever a model raises must not reach the other requests
            raised = MemberError.in_forward(self._member.name, error)
        if raised is None:
            self.note_out_of_memory(num_positions)
        if last - first == 1:
            errors[first] = raised or OutOfMemoryError.of_canvas(self._member.name, self._device, num_positions)
            return Columns.unusable(watched.stop - watched.start)
        edges = range(first, last + 1) if raised else (first, (first + last) // 2, last)
        parts = [self._read(batch, start, stop, errors) for start, stop in pairwise(edges)]
        return Columns.joined(parts)

    def note_out_of_memory(self, num_positions: int) -> None:
        """So many positions were too many."""
        self._budget.shrink(num_positions)
        self._member.model.key_values.take_back()
        give_memory_back(self._device)
        with suppress(Exception):  # whoever measures may fail; the model's thread may not
            self._observer.on_out_of_memory(self._member.name, num_positions)
