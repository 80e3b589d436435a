"""What one key may take in a minute, counted by the library `limits`, and who is asking."""

import time
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from math import ceil
from typing import Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter

WINDOW_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Quota:
    """None: no bound."""

    requests_per_minute: int | None = None
    positions_per_minute: int | None = None
    concurrent_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks: the name of a key, as the configuration has it. Requests of one name are one tenant's."""

    name: str = ""
    quota: Quota = Quota()


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A quota of so many requests or positions a minute that has room again after so many whole seconds."""

    what: str
    most: int
    seconds: int


HOLDER: Final[ContextVar[Holder]] = ContextVar("holder", default=Holder())  # noqa: B039
"""Set for each request at the gate, so that no route can forget to pass it on."""


class Quotas:
    """What all holders have taken. The event loop's alone, so nothing comes between `used_up` and `spend`.

    Requests are counted in a moving window. Positions are counted in a fixed one, which begins with the first request
    after the last one's end: it keeps one number, where a moving one would keep an entry for every position.
    """

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._requests = MovingWindowRateLimiter(self._storage)
        self._positions = FixedWindowRateLimiter(self._storage)
        self.num_preparing: Counter[str] = Counter()

    def used_up(self, holder: Holder, positions: int = 0) -> list[UsedUp]:
        """What keeps another request of so many positions, no more than the quota, out; nothing if it is let in now."""
        found = []
        for limiter, limit, what, cost in self._bounds(holder.quota, positions):
            if not limiter.test(limit, holder.name, what, cost=cost):
                reset = limiter.get_window_stats(limit, holder.name, what).reset_time
                found.append(UsedUp(what, limit.amount, max(ceil(reset - time.time()), 1)))
        return found

    def count(self, holder: Holder) -> None:
        """One request, before any work on it and whatever becomes of it, where nothing was used up."""
        if (most := holder.quota.requests_per_minute) is not None:
            self._requests.hit(_minute(most), holder.name, "requests")

    def spend(self, holder: Holder, positions: int) -> None:
        """What a counted request may read, where positions were not used up: what is refused is never charged."""
        if (most := holder.quota.positions_per_minute) is not None:
            self._positions.hit(_minute(most), holder.name, "positions", cost=positions)

    def _bounds(self, quota: Quota, positions: int) -> Iterator[tuple[RateLimiter, RateLimitItem, str, int]]:
        if quota.requests_per_minute is not None:
            yield self._requests, _minute(quota.requests_per_minute), "requests", 1
        if quota.positions_per_minute is not None:
            yield self._positions, _minute(quota.positions_per_minute), "positions", positions


def _minute(most: int) -> RateLimitItem:
    return RateLimitItemPerSecond(most, WINDOW_SECONDS)
