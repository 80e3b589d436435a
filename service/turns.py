"""Work of the event loop that comes in bursts, done a few pieces a turn.

A turn of asyncio's loop runs all that is ready. Without this, a probe that comes with five hundred requests, or with
news for five hundred streams, is answered after all of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf

Work = Callable[[], object]


class Turns:
    """The event loop's alone. What is put first is done first, at most so many pieces a turn."""

    def __init__(self, most: int) -> None:
        self._most = self._num_left = most
        self._waiting: deque[Work] = deque()
        self._is_renewed = False

    def put(self, work: Work) -> None:
        """Do it now, or in a later turn if this one has done its part."""
        if not self._num_left:
            self._waiting.append(work)
            return
        self._num_left -= 1
        self._renew_next_turn()
        work()

    def _renew_next_turn(self) -> None:
        if not self._is_renewed:
            self._is_renewed = True
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        self._is_renewed, self._num_left = False, self._most
        while self._waiting and self._num_left:
            self._num_left -= 1
            asyncio.get_running_loop().call_soon(self._waiting.popleft())
        if self._num_left < self._most:
            self._renew_next_turn()


class Lull:
    """Work that waits for a burst to be over: until nothing of it has come for a moment, but never long.

    What is begun brings other threads to work, and each call to the system would then wait for the interpreter lock.
    """

    def __init__(self, quiet_seconds: float, longest_seconds: float, turns: Turns) -> None:
        """What has waited is done in `turns`."""
        self._quiet_seconds, self._longest_seconds = quiet_seconds, longest_seconds
        self._turns = turns
        self._last_came = -inf
        self._waiting: deque[tuple[float, Work]] = deque()

    def note(self) -> None:
        """Something has come that leaves no work."""
        self._last_came = asyncio.get_running_loop().time()

    def put(self, work: Work) -> None:
        """Do it now if it came alone, else when there is a lull."""
        now = asyncio.get_running_loop().time()
        is_alone = not self._waiting and self._is_quiet(now)
        self._last_came = now
        if is_alone:
            self._turns.put(work)
        else:
            self._waiting.append((now, work))
            if len(self._waiting) == 1:
                self._look_later()

    def _is_quiet(self, now: float) -> bool:
        return now - self._last_came >= self._quiet_seconds

    def _look_later(self) -> None:
        asyncio.get_running_loop().call_later(self._quiet_seconds, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting and (self._is_quiet(now) or now - self._waiting[0][0] >= self._longest_seconds):
            loop.call_soon(self._turns.put, self._waiting.popleft()[1])  # a piece that fails takes no other with it
        if self._waiting:
            self._look_later()
