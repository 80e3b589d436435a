"""The runs that have ended and may still be asked for: for so long, so many, and so many bytes."""

import asyncio
import time
from collections import OrderedDict
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
        self._timer: asyncio.TimerHandle | None = None
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def get(self, run_id: str) -> Record | None:
        return self._records.get(run_id)

    def put(self, record: Record) -> None:
        """Keep a run that has just ended; the oldest go where there are too many."""
        self._records[record.id] = record
        self.num_bytes += record.num_bytes
        while len(self._records) > self._max_runs or self.num_bytes > self._max_bytes:
            self._forget_oldest()
        self._watch()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _forget_oldest(self) -> None:
        _, record = self._records.popitem(last=False)
        self.num_bytes -= record.num_bytes
        self._on_forget(record)

    def _watch(self) -> None:
        if self._timer is None and self._records:
            oldest = next(iter(self._records.values()))
            assert oldest.ended is not None
            left = oldest.ended + self._seconds - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, left), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._records and (next(iter(self._records.values())).ended or 0.0) + self._seconds <= now:
            self._forget_oldest()
        self._watch()
