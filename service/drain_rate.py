"""How fast work ends, measured in forward positions, so that Retry-After is more than a guess."""

from collections import deque
from math import ceil
from typing import Final

WINDOW: Final = 64  # ends that count
LONGEST: Final = 60  # seconds: a client should ask again sooner than a guess can be wrong


class DrainRate:
    """Times in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def note_end(self, now: float, positions: int) -> None:
        """A request ended whose cost was `positions`."""
        self._ends.append((now, positions))

    def note_idle(self) -> None:
        """Nothing runs: the time until the next request says nothing of the rate."""
        self._ends.clear()

    def retry_after(self, now: float, positions: int) -> int:
        """Whole seconds until so many positions have ended at the measured rate; 1 before anything has."""
        ended = sum(cost for _, cost in self._ends) - (self._ends[0][1] if self._ends else 0)  # since the first end
        if ended <= 0:
            return 1
        seconds_each = (now - self._ends[0][0]) / ended
        return min(LONGEST, max(1, ceil(seconds_each * positions)))
