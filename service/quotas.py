"""What one key may take in a minute, as moving windows, and who is asking."""

import math
from collections import Counter, deque
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 60.0


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


HOLDER: Final[ContextVar[Holder]] = ContextVar("holder", default=Holder())  # noqa: B039
"""Set for each request at the gate, so that no route can forget to pass it on."""


class Window:
    """What was spent within the last minute, entry by entry."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()
        self._spent = 0

    def wait(self, now: float, amount: int, most: int) -> float:
        """Seconds until `amount` more fits `most`: 0 if it does, infinity if it never will."""
        if amount > most:
            return math.inf
        self._forget(now)
        excess = self._spent + amount - most
        for spent_at, spent in self._entries:
            if excess <= 0:
                break
            excess -= spent
            if excess <= 0:
                return spent_at + WINDOW_SECONDS - now
        return 0.0

    def spend(self, now: float, amount: int) -> None:
        self._entries.append((now, amount))
        self._spent += amount

    def _forget(self, now: float) -> None:
        while self._entries and self._entries[0][0] + WINDOW_SECONDS <= now:
            self._spent -= self._entries.popleft()[1]


class Quotas:
    """The windows of all holders. Times are of one monotonic clock."""

    def __init__(self) -> None:
        self._requests: dict[str, Window] = {}
        self._positions: dict[str, Window] = {}
        self.num_preparing: Counter[str] = Counter()

    def wait(self, holder: Holder, now: float, positions: int = 0) -> float:
        """Seconds until another request of so many positions is within the holder's minute."""
        quota, waits = holder.quota, [0.0]
        if quota.requests_per_minute is not None:
            window = self._requests.setdefault(holder.name, Window())
            waits.append(window.wait(now, 1, quota.requests_per_minute))
        if quota.positions_per_minute is not None:
            window = self._positions.setdefault(holder.name, Window())
            waits.append(window.wait(now, positions, quota.positions_per_minute))
        return max(waits)

    def spend(self, holder: Holder, now: float, positions: int) -> None:
        """One request of so many positions, after `wait` was 0."""
        if holder.quota.requests_per_minute is not None:
            self._requests.setdefault(holder.name, Window()).spend(now, 1)
        if holder.quota.positions_per_minute is not None:
            self._positions.setdefault(holder.name, Window()).spend(now, positions)
