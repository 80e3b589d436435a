"""The events of one streamed request, between the engine's thread that writes and the connection that reads.

Bounded: a reader that stops reading gets merged states later and slows no model. Rounds and the end are kept.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from service.errors import api_error
from service.states import States
from tie_core.canvas import Canvas
from tie_core.events import Answer, Completed, Event, Failed, RoundEnded, StepTaken, event_data
from tie_core.request import Request


@dataclass(slots=True)
class Entry:
    """A produced event. `relayed`: canvases after a round. `states`: set where it is sent as a snapshot."""

    seq: int
    t_ms: float
    event: Event
    relayed: tuple[Canvas, ...] | None = None
    states: States | None = None

    @property
    def is_mergeable(self) -> bool:
        return isinstance(self.event, StepTaken | Answer)


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event as it goes out, with what every transport needs of it."""

    type: str
    seq: int
    data: dict[str, Any]
    is_last: bool


class Mailbox:
    """One writer, one reader. Delivered + skipped = produced: what follows a gap says how many `skipped`.

    Over `max_pending` undelivered states the older ones are merged: of the answers the last one stays, of the
    steps the last becomes a snapshot of all canvases. A reader of snapshots gets one for all since a read.
    """

    def __init__(self, request: Request, max_pending: int, on_merge: Callable[[int], None]) -> None:
        self._sends_snapshots = request.detail == "snapshot"
        self._max_pending = 1 if self._sends_snapshots else max_pending
        self._on_merge = on_merge
        self._started = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._has_mail = asyncio.Event()
        self._last_delivered = 0
        self._lock = threading.Lock()  # guards everything below
        self._pending: deque[Entry] = deque()
        self._num_produced = 0
        self._num_mergeable = 0
        self._states = States(request)  # right after the last event that was taken
        self._relayed: tuple[Canvas, ...] | None = None  # the canvases of the round that is told next

    @property
    def num_pending(self) -> int:
        """Events that wait for the reader."""
        return len(self._pending)

    def put_canvases(self, relayed: tuple[Canvas, ...]) -> None:
        """From the engine's thread: where a relay left everybody. The event of its round comes next."""
        self._relayed = relayed

    def put(self, event: Event) -> None:
        """From the engine's thread: number the event and wake the reader."""
        with self._lock:
            entry = self._number(event)
            is_first = not self._pending
            self._pending.append(entry)
            self._num_mergeable += entry.is_mergeable
            if self._num_mergeable > self._max_pending:
                self._merge()
        if is_first:
            self._loop.call_soon_threadsafe(self._has_mail.set)

    async def get(self) -> Delivered:
        """The next event. The terminal one is the last: asking on would wait for ever."""
        while (entry := self._take()) is None:
            await self._has_mail.wait()
        skipped = entry.seq - self._last_delivered - 1
        self._last_delivered = entry.seq
        return _deliver(entry, skipped)

    def _number(self, event: Event) -> Entry:
        self._num_produced += 1
        relayed = None
        if isinstance(event, RoundEnded):
            relayed, self._relayed = self._relayed, None
        return Entry(self._num_produced, round((time.monotonic() - self._started) * 1000, 3), event, relayed)

    def _take(self) -> Entry | None:
        with self._lock:
            if not self._pending:
                self._has_mail.clear()
                return None
            entry = self._pending.popleft()
            self._num_mergeable -= entry.is_mergeable
            self._states = _after(self._states, entry)
            if self._sends_snapshots and isinstance(entry.event, StepTaken):
                entry.states = self._states.copy()
            return entry

    def _merge(self) -> None:
        last_step, last_answer = _last_seq(self._pending, StepTaken), _last_seq(self._pending, Answer)
        states, kept = self._states.copy(), deque[Entry]()
        for entry in self._pending:
            states = _after(states, entry)
            if entry.seq == last_step:
                entry.states = states.copy()
            if not entry.is_mergeable or entry.seq in (last_step, last_answer):
                kept.append(entry)
        self._on_merge(len(self._pending) - len(kept))
        self._pending = kept
        self._num_mergeable = sum(entry.is_mergeable for entry in kept)


def _after(states: States, entry: Entry) -> States:
    """The states once the entry has happened."""
    if entry.states is not None:
        return entry.states.copy()
    states.apply(entry.event, entry.relayed)
    return states


def _last_seq(entries: Iterable[Entry], kind: type[StepTaken] | type[Answer]) -> int:
    return max((entry.seq for entry in entries if isinstance(entry.event, kind)), default=0)


def _deliver(entry: Entry, skipped: int) -> Delivered:
    kind, data = _told(entry)
    head = {"type": kind, "seq": entry.seq, "t_ms": entry.t_ms}
    gap = {"skipped": skipped} if skipped else {}
    return Delivered(kind, entry.seq, head | gap | data, isinstance(entry.event, Completed | Failed))


def _told(entry: Entry) -> tuple[str, dict[str, Any]]:
    """Type and data, as on the wire."""
    event = entry.event
    if isinstance(event, Failed):
        error = api_error(event.error)
        return event.type, {"error": error.body(), "retryable": error.is_retryable}
    if isinstance(event, StepTaken) and entry.states is not None:
        return "tie.snapshot", {"round": event.round, "models": entry.states.tokens()}
    return event.type, event_data(event)
