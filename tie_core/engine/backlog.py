"""The rows that wait for a worker's next forward, and which of them it takes.

First whoever has waited longest, then the oldest round. A row that does not fit beside those before it is passed over:
smaller ones behind it go ahead, but it has now waited longer than they have, so a row is in a forward after at most
as many forwards as rows were before it. No lock: the worker has one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tie_core.denoising import Job
from tie_core.engine.budget import Budget, Load
from tie_core.engine.row_state import RowState


@dataclass(slots=True)
class Row:
    """One job of one request on this worker's model; `index` is its place among the request's outstanding work."""

    request_id: str
    index: int
    member: int
    job: Job
    wants_steps: bool
    load: Load  # of its next step
    state: RowState = field(repr=False)  # while it is in no batch
    number: int = field(default=0, init=False)  # counts rounds' work as it came in
    waits_since: int = field(default=0, init=False)  # the forward after which it came, or came back


class Backlog:
    """Waiting rows, in no order until a batch is taken."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._num_batches = 0
        self._num_put = 0

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: Row) -> None:
        """A new row."""
        self._num_put += 1
        row.number = self._num_put
        self.put_back([row])

    def put_back(self, rows: Iterable[Row]) -> None:
        """Rows of the last batch that go on."""
        for row in rows:
            row.waits_since = self._num_batches
            self._rows.append(row)

    def take(self, budget: Budget) -> list[Row]:
        """The next batch: the first row whatever its size, then every one that still fits."""
        self._num_batches += 1
        self._rows.sort(key=lambda row: (row.waits_since, row.number))
        taken: list[Row] = []
        passed_over: list[Row] = []
        load = Load()
        for row in self._rows:
            if not taken or budget.has_room_for(load + row.load):
                taken.append(row)
                load = load + row.load
            else:
                passed_over.append(row)
        self._rows = passed_over
        return taken

    def take_all(self) -> list[Row]:
        rows, self._rows = self._rows, []
        return rows

    def drop(self, request_id: str) -> None:
        """Forget a request's rows."""
        self._rows = [row for row in self._rows if row.request_id != request_id]
