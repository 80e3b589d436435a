"""The runs that have ended and may still be asked for: for so long, so many, and so many bytes.

Where there are too many, whoever has the most loses one: nobody's runs push out those of who keeps less.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from service.record import Record


class Kept:
    """The event loop's. `on_forget` is told every record that goes."""

    def __init__(self, seconds: float, max_runs: int, max_bytes: int, on_forget: Callable[[Record], None]) -> None:
        self._seconds = seconds
        self._max_runs = max_runs
        self._max_bytes = max_bytes
        self._on_forget = on_forget
        self._records: OrderedDict[str, Record] = OrderedDict()  # the one that ended first is first
        self._owned: dict[str | None, OrderedDict[str, Record]] = {}  # the same by owner
        self._bytes: Counter[str | None] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def get(self, run_id: str) -> Record | None:
        return self._records.get(run_id)

    def put(self, record: Record) -> None:
        """Keep a run that has just ended; where there are too many, the oldest of the owner with the most goes."""
        self._records[record.id] = self._owned.setdefault(record.owner, OrderedDict())[record.id] = record
        self._bytes[record.owner] += record.num_bytes
        self.num_bytes += record.num_bytes
        while len(self._records) > self._max_runs:
            self._forget(_oldest(max(self._owned.values(), key=len)))
        while self.num_bytes > self._max_bytes:
            self._forget(_oldest(self._owned[max(self._bytes, key=lambda owner: self._bytes[owner])]))
        self._watch()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _forget(self, record: Record) -> None:
        del self._records[record.id], self._owned[record.owner][record.id]
        self.num_bytes -= record.num_bytes
        self._bytes[record.owner] -= record.num_bytes
        if not self._owned[record.owner]:
            del self._owned[record.owner], self._bytes[record.owner]
        self._on_forget(record)

    def _watch(self) -> None:
        if self._timer is None and self._records:
            oldest = _oldest(self._records)
            assert oldest.ended is not None
            left = oldest.ended + self._seconds - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, left), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._records and (_oldest(self._records).ended or 0.0) + self._seconds <= now:
            self._forget(_oldest(self._records))
        self._watch()


def _oldest(records: OrderedDict[str, Record]) -> Record:
    return next(iter(records.values()))
