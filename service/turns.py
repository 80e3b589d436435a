"""Work of the event loop that comes in bursts, done a few pieces a turn.

A turn of asyncio's loop runs all that is ready. Without this, a probe that comes with five hundred requests, or with
news for five hundred streams, is answered after all of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable

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
