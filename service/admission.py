"""Who is let in: places before any work, a key's quotas, and the cost of a request once it is known.

The event loop's alone, so that nothing comes between a check and what it allows.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import ceil
from typing import Final

from service.drain_rate import DrainRate
from service.errors import RATE_LIMIT, ApiError, unavailable
from service.quotas import HOLDER, Holder, Quotas, UsedUp
from service.run import Run
from service.settings import LimitSettings
from tie_core.events import Completed


class Place:
    """One of the places that running, waiting and tokenising requests share, until it is given back."""

    __slots__ = ("_held", "_name")

    def __init__(self, held: Counter[str], name: str) -> None:
        """`held` counts the places that each holder has."""
        held[name] += 1
        self._held: Counter[str] | None = held
        self._name = name

    def give_back(self) -> None:
        """Once; further calls do nothing."""
        held, self._held = self._held, None
        if held is not None:
            held[self._name] -= 1
            if not held[self._name]:
                del held[self._name]


TAKEN: Final[ContextVar[Place | None]] = ContextVar("taken", default=None)
"""The place that the door has taken for a request on its way to `Admission.place`."""


class Admission:
    """`live` are the requests that the engine has not ended; whoever owns them reports each end."""

    def __init__(self, limits: LimitSettings, live: Mapping[str, Run]) -> None:
        self._limits = limits
        self._live = live
        self._quotas = Quotas()
        self._drain_rate = DrainRate()

    @property
    def num_preparing(self) -> int:
        """Requests that hold a place while they are on their way here or tokenised."""
        return self._quotas.num_preparing.total()

    def take(self, holder: Holder) -> Place:
        """A place, before any work.

        Raises:
            ApiError: 503 without a free one, 429 beyond the holder's quota.
        """
        self._check_quota(holder)
        self._check_concurrency(holder)
        self._check_places(holder)
        return Place(self._quotas.num_preparing, holder.name)

    @contextmanager
    def place(self) -> Iterator[Holder]:
        """As `take`, for as long as a request is prepared, which is counted. The door's place for it is exchanged.

        Raises:
            ApiError: as `take`.
        """
        holder = HOLDER.get()
        if (taken := TAKEN.get()) is not None:
            taken.give_back()
        place = self.take(holder)
        self._quotas.count(holder)
        try:
            yield holder
        finally:
            place.give_back()

    def count(self) -> None:
        """One more request that takes no place: it joins one that has.

        Raises:
            ApiError: 429 beyond the holder's quota.
        """
        holder = HOLDER.get()
        self._check_quota(holder)
        self._quotas.count(holder)

    def reserve(self, holder: Holder, positions: int) -> None:
        """Let a request of this cost in; it is submitted right after.

        Raises:
            ApiError: 400 where it is too large in itself, 429 beyond the holder's quota, 503 behind a full backlog.
        """
        self._check_size(holder, positions)
        used_up = self._quotas.used_up(holder, positions)
        if any(used.what == "positions" for used in used_up):  # as a request it is counted already
            raise _used_up(used_up)
        self._check_backlog(positions)
        self._quotas.spend(holder, positions)

    def note_end(self, run: Run) -> None:
        """`run` is not among the live ones any more. One that was cut short says nothing of the rate: it did less."""
        end = run.record.end
        if isinstance(end, Completed) and not end.tie.partial:
            self._drain_rate.note_end(time.monotonic(), run.positions)
        if not self._live:
            self._drain_rate.note_idle()

    def unavailable(self, reason: str, message: str) -> ApiError:
        """503, to come back when what is admitted now has ended at the measured rate."""
        return unavailable(reason, message, self._seconds_for(self._positions()))

    def _positions(self) -> int:
        return sum(run.positions for run in self._live.values())

    def _seconds_for(self, positions: int) -> int:
        return self._drain_rate.retry_after(time.monotonic(), positions)

    def _check_concurrency(self, holder: Holder) -> None:
        most = holder.quota.concurrent_requests
        if most is None:
            return
        own = [run for run in self._live.values() if run.request.tenant == holder.name]
        if len(own) + self._quotas.num_preparing[holder.name] >= most:
            seconds = self._seconds_for(min((run.positions for run in own), default=0))
            raise _beyond_quota(f"{most:,} requests at once", "wait for one to end", seconds)

    def _check_places(self, holder: Holder) -> None:
        """The last places are for keys that hold few, so that no flood shuts the others out."""
        num_taken = len(self._live) + self.num_preparing
        num_free = self._limits.max_running + self._limits.max_waiting - num_taken
        if num_free <= 0:
            raise self._full(f"all {num_taken} places are taken: try again later")
        num_reserved = ceil(self._limits.max_waiting * self._limits.waiting_reserve)
        if not holder.name or num_free > num_reserved:
            return
        held = Counter(run.request.tenant for run in self._live.values()) + self._quotas.num_preparing
        share = max(1, num_reserved // len({*held, holder.name}))
        if held[holder.name] >= share:
            raise self._full(f"the last {num_free} places are for keys that hold fewer than {share}: try again later")

    def _full(self, message: str) -> ApiError:
        """503, to come back when one run of the usual kind has ended."""
        return unavailable("queue_full", message, self._seconds_for(self._positions() // max(1, len(self._live))))

    def _check_quota(self, holder: Holder) -> None:
        if used_up := self._quotas.used_up(holder):
            raise _used_up(used_up)

    def _check_size(self, holder: Holder, positions: int) -> None:
        bounds = (self._limits.max_request_positions, holder.quota.positions_per_minute)
        most = min((bound for bound in bounds if bound is not None), default=None)
        if most is not None and positions > most:
            raise ApiError(
                400,
                "request_too_large",
                f"this request may read {positions:,} positions in all its forwards, and {most:,} are allowed: shorten"
                " the prompt or gen_length, commit more tokens a step, or ask fewer models",
            )

    def _check_backlog(self, positions: int) -> None:
        """A bound on what waits: a request that would start at once is none of it."""
        most = self._limits.max_waiting_positions
        if most is None or len(self._live) < self._limits.max_running:
            return
        waiting = sum(run.positions for run in self._live.values() if run.record.started is None)
        if waiting + positions > most:
            message = f"{waiting:,} positions wait already and {most:,} may: try again later"
            raise unavailable("queue_full", message, self._seconds_for(waiting + positions - most))


def _used_up(bounds: Sequence[UsedUp]) -> ApiError:
    seconds = max(used.seconds for used in bounds)
    told = " and ".join(f"{used.most:,} {used.what} a minute" for used in bounds)
    return _beyond_quota(told, f"try again in {seconds} s", seconds)


def _beyond_quota(bound: str, what_to_do: str, seconds: int) -> ApiError:
    message = f"this key's quota of {bound} leaves no room for this request: {what_to_do}"
    return ApiError(429, "quota_exceeded", message, kind=RATE_LIMIT, headers={"retry-after": str(max(1, seconds))})
