"""asyncio's event loop, but what sockets bring goes first and the rest a few a turn.

asyncio runs all that is ready before it looks at its sockets again. When five hundred streams have news, a probe that comes
meanwhile would be read after all of them, and answered after all that they then have to do.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

HANDLES_A_TURN: Final = 16  # about two milliseconds, if no other thread wants the interpreter


class FairLoop(asyncio.SelectorEventLoop):
    """Of what sockets bring all is done in a turn, of what else is ready as much again, and at least so much.

    On either side handles run in the order in which they became ready.
    """

    _ready: deque[asyncio.Handle]  # asyncio's, of which a turn runs as many as there are when it begins

    def __init__(self) -> None:
        super().__init__()
        self._held: deque[asyncio.Handle] = deque()

    @contextmanager
    def first(self) -> Iterator[None]:
        """What becomes ready in here runs before anything else that is."""
        num_ready = len(self._ready)
        yield
        for _ in range(len(self._ready) - num_ready):
            self._ready.appendleft(self._ready.pop())

    def _accept_connection(self, *given: Any, **named: Any) -> None:
        """asyncio's: a probe comes on a connection of its own, which takes several turns to be there."""
        with self.first():
            super()._accept_connection(*given, **named)  # type: ignore[misc]

    def _make_socket_transport(self, *given: Any, **named: Any) -> asyncio.Transport:
        """asyncio's, of a connection that was accepted."""
        with self.first():
            transport: asyncio.Transport = super()._make_socket_transport(*given, **named)  # type: ignore[misc]
        return transport

    def _process_events(self, event_list: Any) -> None:
        """asyncio's hook between looking at the sockets and running what is ready."""
        self._held.extend(self._ready)
        self._ready.clear()
        super()._process_events(event_list)  # type: ignore[misc]
        for _ in range(min(len(self._held), max(HANDLES_A_TURN, len(self._ready)))):
            self._ready.append(self._held.popleft())
        if self._held:
            self.call_soon(self._release)

    def _release(self) -> None:
        """Make ready again what is held: a loop with nothing ready would wait for its sockets."""
        self._ready.extendleft(reversed(self._held))
        self._held.clear()
