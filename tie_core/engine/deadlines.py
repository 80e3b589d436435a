"""When requests have to be over, and which of them have run out of time. No lock: the conductor's own."""

from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal

OnDeadline = Literal["error", "partial"]
ON_DEADLINE: Final[OnDeadline] = "error"
"""Where a request does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """`seconds` from the submission, the queue included; then an error, or what there is by then."""

    seconds: float
    then: OnDeadline = ON_DEADLINE


@dataclass(slots=True)
class Deadlines:
    """Points in time by key; asking for what is due costs nothing until something is."""

    _times: dict[str, float] = field(default_factory=dict)
    _next: float = inf  # none is earlier

    def __len__(self) -> int:
        return len(self._times)

    def add(self, key: str, time: float) -> None:
        self._times[key] = time
        self._next = min(self._next, time)

    def discard(self, key: str) -> None:
        self._times.pop(key, None)

    def seconds_left(self, now: float, most: float) -> float:
        """Until the next one, at most `most`."""
        return min(most, max(0.0, self._next - now))

    def take_due(self, now: float) -> list[str]:
        """What has run out of time, the earliest first."""
        if now < self._next:
            return []
        due = sorted((time, key) for key, time in self._times.items() if time <= now)
        for _, key in due:
            del self._times[key]
        self._next = min(self._times.values(), default=inf)
        return [key for _, key in due]
