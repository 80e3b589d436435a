"""What a client may ask about a run by its id, while it runs and for a while after. Holds no request and no engine."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from service.errors import api_error
from service.event_log import EventLog
from tie_core.errors import DeadlineError
from tie_core.events import Completed, Failed, event_data

RECORD_BYTES: Final = 2_048  # what a record takes beside texts, roughly
State = Literal["queued", "running", "completed", "failed", "cancelled"]


@dataclass(slots=True, eq=False)
class Record:
    """One run. `owner` is the API key that made it: for others it is not there. Times are `time.monotonic()`.

    The engine's thread sets `started` and `end`, the event loop everything else.
    """

    id: str
    owner: str | None
    endpoint: str
    ensemble: str
    log: EventLog
    claim: str | None = None  # what an idempotency key became
    admitted: float = field(default_factory=time.monotonic)
    created: int = field(default_factory=lambda: int(time.time()))  # for clients: seconds of the calendar's clock
    started: float | None = None
    ended: float | None = None
    end: Completed | Failed | None = None
    is_cancelled: bool = False
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)
    stream: bool | None = None  # as the body has it
    asked: object = None  # what the route's reply needs to know of the body
    num_bytes: int = 0  # once the log is sealed: what of this stays

    @property
    def state(self) -> State:
        if isinstance(self.end, Completed):
            return "completed"
        if self.end is not None:
            return "cancelled" if self.is_cancelled else "failed"
        return "queued" if self.started is None else "running"

    @property
    def queue_seconds(self) -> float | None:
        return None if self.started is None else self.started - self.admitted

    @property
    def finish_reason(self) -> str:
        """As metrics and the log name it; what has not ended is about to be cancelled."""
        if isinstance(self.end, Completed):
            return self.end.finish_reason
        if self.end is None or self.is_cancelled:
            return "cancelled"
        return "deadline" if isinstance(self.end.error, DeadlineError) else "error"

    async def wait(self) -> Completed | Failed:
        await self.has_ended.wait()
        assert self.end is not None
        return self.end

    def close(self) -> None:
        """The end has been told: keep what goes out, and wake who waits for the end."""
        self.ended = time.monotonic()
        self.log.seal()
        self.num_bytes = RECORD_BYTES + self.log.num_bytes + self.log.last_bytes  # the end is there as an event too
        self.has_ended.set()

    def describe(self, kept_seconds: float) -> dict[str, Any]:
        """The state as JSON; times are durations, since clocks differ."""
        now = time.monotonic()
        until = now if self.ended is None else self.ended
        started = until if self.started is None else self.started
        error = api_error(self.end.error).body() if isinstance(self.end, Failed) else None
        return {
            "id": self.id,
            "state": self.state,
            "ensemble": self.ensemble,
            "last_seq": self.log.num_produced,
            "timings": {
                "age_ms": _milliseconds(now - self.admitted),
                "queue_ms": _milliseconds(started - self.admitted),
                "run_ms": None if self.started is None else _milliseconds(until - started),
                "kept_ms": None if self.ended is None else _milliseconds(max(0.0, self.ended + kept_seconds - now)),
            },
            "result": event_data(self.end) if isinstance(self.end, Completed) else None,
            "error": error,
        }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
