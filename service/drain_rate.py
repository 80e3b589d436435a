"""How fast requests end, measured, so that Retry-After is more than a guess."""

from collections import deque
from math import ceil
from typing import Final

WINDOW: Final = 64  # ends that count
LONGEST: Final = 60  # seconds: a client should ask again sooner than a guess can be wrong


class DrainRate:
    """Times in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=WINDOW)

    def note_end(self, now: float) -> None:
        self._ends.append(now)

    def note_idle(self) -> None:
        """Nothing runs: the time until the next request says nothing of the rate."""
        self._ends.clear()

    def retry_after(self, now: float, num_ahead: int) -> int:
        """Whole seconds until `num_ahead` requests have ended at the measured rate; 1 before any has."""
        if len(self._ends) < 2:
            return 1
        seconds_each = (now - self._ends[0]) / (len(self._ends) - 1)
        return min(LONGEST, max(1, ceil(seconds_each * num_ahead)))
