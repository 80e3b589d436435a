"""The events of one run: written once, by the engine's thread, read by any number of connections, each at its own pace.

Bounded: of the states (steps, answers) the newest are kept one by one and older ones merged. Rounds and the end stay.
"""

import asyncio
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.encoding import from_json, to_json
from service.errors import api_error
from service.states import States
from service.turns import Turns
from tie_core.canvas import Canvas
from tie_core.events import Answer, Completed, Event, Failed, RoundEnded, StepTaken, event_data
from tie_core.options import Detail
from tie_core.request import Request

SNAPSHOT: Final = "tie.snapshot"
ENTRY_BYTES: Final = 256  # what an entry takes beside its body, roughly


@dataclass(slots=True, eq=False)
class Entry:
    """A produced event. `relayed`: canvases after a round. A merged step stands for all states before it."""

    seq: int
    t_ms: float
    type: str
    round: int  # of a step
    event: Event | None  # None in a sealed log, and of a merged step
    relayed: tuple[Canvas, ...] | None
    is_merged: bool = False
    body: bytes | None = None  # the event's data as JSON, once somebody has asked for it
    snapshot: bytes | None = None  # the same of the canvases after it

    @property
    def is_step(self) -> bool:
        return self.type == StepTaken.type

    @property
    def is_state(self) -> bool:
        return self.type in (StepTaken.type, Answer.type)

    @property
    def is_last(self) -> bool:
        return self.type in (Completed.type, Failed.type)


class Packed(Sequence[Entry]):
    """The entries of a sealed log, each made when it is asked for.

    Kept as plain tuples of numbers, texts and bytes: Python's search for garbage, which holds up all threads, passes
    over them.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._rows = tuple(
            (entry.seq, entry.t_ms, entry.type, entry.round, None, None, entry.is_merged, entry.body, entry.snapshot)
            for entry in entries
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        return Entry(*self._rows[at])


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event as it goes out, after `skipped` others that this reader does not get."""

    type: str
    seq: int
    t_ms: float
    skipped: int
    body: bytes
    is_last: bool

    @property
    def json(self) -> bytes:
        gap = f'"skipped":{self.skipped},' if self.skipped else ""
        return f'{{"type":"{self.type}","seq":{self.seq},"t_ms":{self.t_ms},{gap}'.encode() + self.body[1:]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = from_json(self.json)
        return data


@dataclass(slots=True, eq=False)
class Position:
    """All canvases right after an event."""

    seq: int
    states: States


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry on its way to a reader; `position` is there where its snapshot has yet to be written."""

    entry: Entry
    event: Event | None
    is_snapshot: bool
    position: Position | None


class EventLog:
    """One writer. Over `max_states` states the older half is merged: of the answers the last one stays, of the steps
    the last becomes a snapshot of all canvases. For every reader delivered + skipped = produced. `turns` are those in
    which the readers of all logs are woken.
    """

    def __init__(self, request: Request, max_states: int, turns: Turns) -> None:
        self.detail = request.detail
        self._turns = turns
        self._max_states = max_states
        self._started = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._relayed: tuple[Canvas, ...] | None = None  # the canvases of the round that is told next
        self._lock = threading.Lock()  # guards everything below
        self._entries: list[Entry] | Packed = []
        self._num_produced = 0
        self._num_states = 0
        self._is_awaited = False
        self._base = States(request) if request.wants_steps else None  # right after the merged step
        self._base_seq = 0

    @property
    def num_produced(self) -> int:
        return self._num_produced

    @property
    def num_kept(self) -> int:
        return len(self._entries)

    @property
    def num_bytes(self) -> int:
        """Of a sealed log."""
        return sum(ENTRY_BYTES + len(entry.body or b"") + len(entry.snapshot or b"") for entry in self._entries)

    @property
    def last_bytes(self) -> int:
        """Of the last event of a sealed log."""
        return len(self._entries[-1].body or b"") if self._entries else 0

    @property
    def is_over(self) -> bool:
        return bool(self._entries) and self._entries[-1].is_last

    def put_canvases(self, relayed: tuple[Canvas, ...]) -> None:
        """From the engine's thread: where a relay left everybody. The event of its round comes next."""
        if self._base is not None:
            self._relayed = relayed

    def put(self, event: Event) -> None:
        """From the engine's thread: number the event and wake who waits for it."""
        with self._lock:
            assert isinstance(self._entries, list), "a sealed log has its last event"
            entry = self._number(event)
            self._entries.append(entry)
            self._num_states += entry.is_state
            if self._num_states > self._max_states:
                self._merge()
            is_awaited, self._is_awaited = self._is_awaited, False
        if is_awaited:
            self._loop.call_soon_threadsafe(self._turns.put, self._news.set)

    def write_out(self) -> None:
        """From the engine's thread, behind the last event: all bodies, so that sealing costs the event loop little.

        Without the lock: the writer alone merges, and a reader that makes a body meanwhile makes the same one.
        """
        for entry in self._entries:
            if entry.body is None and entry.event is not None:
                entry.body = _body(entry.event)

    def read(self, after: int = 0, detail: Detail | None = None) -> "Reader":
        """What is kept behind the event `after`, then what comes."""
        return Reader(self, after, detail or self.detail)

    def seal(self) -> None:
        """After `write_out`: keep what can go out, as bytes, and let go of the request and its canvases."""
        with self._lock:
            newest = _last_seq(self._entries, StepTaken.type)
            for entry in self._entries:
                if entry.is_step and (entry.is_merged or entry.seq == newest) and entry.snapshot is None:
                    entry.snapshot = _snapshot(entry.round, self._states_at(entry.seq, None).states)
            self._entries = Packed(self._entries)
            self._base = self._relayed = None

    def take(self, after: int, detail: Detail, position: Position | None) -> Taken | None:
        """The next entry for a reader; None while there is none, and the next one ends its `wait`."""
        with self._lock:
            newest = _last_seq(self._entries, StepTaken.type) if detail == "snapshot" else 0
            for at in range(bisect_right(self._entries, after, key=_seq), len(self._entries)):
                entry = self._entries[at]
                if entry.is_step and (detail == "round" or entry.seq < newest):
                    continue
                is_snapshot = entry.is_merged or entry.seq == newest
                is_written = not is_snapshot or entry.snapshot is not None
                states = None if is_written else self._states_at(entry.seq, position)
                return Taken(entry, entry.event, is_snapshot, states)
            self._is_awaited = True
            self._news.clear()
            return None

    async def wait(self) -> None:
        await self._news.wait()

    def _number(self, event: Event) -> Entry:
        self._num_produced += 1
        relayed = None
        if isinstance(event, RoundEnded):
            relayed, self._relayed = self._relayed, None
        t_ms = round((time.monotonic() - self._started) * 1000, 3)
        number = event.round if isinstance(event, StepTaken) else 0
        return Entry(self._num_produced, t_ms, event.type, number, event, relayed)

    def _merge(self) -> None:
        states = [entry for entry in self._entries if entry.is_state]
        old = states[: len(states) - self._max_states // 2]
        step, answer = _last_seq(old, StepTaken.type), _last_seq(old, Answer.type)
        kept = []
        for entry in self._entries:
            if self._base is not None and self._base_seq < entry.seq <= step:
                assert entry.event is not None
                self._base.apply(entry.event, entry.relayed)
                entry.relayed = None
            if not entry.is_state or entry.seq > old[-1].seq or entry.seq in (step, answer):
                kept.append(entry)
            if entry.seq == step and not entry.is_merged:
                entry.is_merged, entry.event, entry.body = True, None, None
        self._base_seq = max(self._base_seq, step)
        self._entries = kept
        self._num_states = sum(entry.is_state for entry in kept)

    def _states_at(self, seq: int, known: Position | None) -> Position:
        """The canvases right after an event that is kept, from the nearest point that is known."""
        assert self._base is not None
        if known is None or not self._base_seq <= known.seq <= seq:
            known = Position(self._base_seq, self._base.copy())
        for entry in self._entries[bisect_right(self._entries, known.seq, key=_seq) :]:
            if entry.seq <= seq and entry.event is not None:
                known.states.apply(entry.event, entry.relayed)
        known.seq = seq
        return known


class Reader:
    """One connection's way through a log, in the event loop: a number, and the canvases where it wants snapshots.

    Of a reader of snapshots all steps that wait become one, and a reader of rounds gets no steps at all.
    """

    def __init__(self, log: EventLog, after: int, detail: Detail) -> None:
        self._log = log
        self._detail: Detail = detail
        self._last = after
        self._position: Position | None = None
        self.merges = detail != "round"  # else the steps that it does not get are none of its business
        self.is_over = log.is_over and after >= log.num_produced

    async def get(self) -> Delivered:
        """The next event. The terminal one is the last: asking on would wait for ever."""
        while (delivered := self.get_at_once()) is None:
            await self._log.wait()
        return delivered

    def get_at_once(self) -> Delivered | None:
        """The next event if it is there; behind the terminal one there is none."""
        taken = self._log.take(self._last, self._detail, self._position)
        if taken is None:
            return None
        entry, skipped = taken.entry, taken.entry.seq - self._last - 1
        self._last, self.is_over = entry.seq, entry.is_last
        if taken.is_snapshot:
            return Delivered(SNAPSHOT, entry.seq, entry.t_ms, skipped, self._snapshot(taken), False)
        if (body := entry.body) is None:  # asked for once: the writer may take it away again
            assert taken.event is not None
            entry.body = body = _body(taken.event)
        return Delivered(entry.type, entry.seq, entry.t_ms, skipped, body, entry.is_last)

    def _snapshot(self, taken: Taken) -> bytes:
        if taken.position is not None:
            self._position = taken.position
            taken.entry.snapshot = _snapshot(taken.entry.round, taken.position.states)
        assert taken.entry.snapshot is not None
        return taken.entry.snapshot


def _seq(entry: Entry) -> int:
    return entry.seq


def _last_seq(entries: Sequence[Entry], kind: str) -> int:
    return next((entry.seq for entry in reversed(entries) if entry.type == kind), 0)


def _snapshot(number: int, states: States) -> bytes:
    return to_json({"round": number, "models": states.tokens()})


def _body(event: Event) -> bytes:
    if isinstance(event, Failed):
        error = api_error(event.error)
        return to_json({"error": error.body(), "retryable": error.is_retryable})
    return to_json(event_data(event))
