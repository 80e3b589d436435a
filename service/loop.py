"""asyncio's event loop, but what sockets bring goes first and the rest a few a turn.

asyncio runs all that is ready before it looks at its sockets again. When five hundred streams have news, a probe that
comes meanwhile would be read after all of them, and answered after all that they then have to do.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any, Final

HANDLES_A_TURN: Final = 16  # about two milliseconds, if no other thread wants the interpreter


class FairLoop(asyncio.SelectorEventLoop):
    """A turn is all that sockets have brought, then of what is urgent as much again, then of what else is ready.

    Of each kind a turn has at least so many handles, in the order in which they became ready. The methods with an
    underscore are asyncio's own, which `BaseEventLoop._run_once` calls in every turn.
    """

    _thread_id: int | None
    _ready: deque[asyncio.Handle]
    """A turn runs as many as there are when it begins. Other threads append to it at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self._brought: list[asyncio.Handle] = []
        self._urgent: deque[asyncio.Handle] = deque()
        self._held: deque[asyncio.Handle] = deque()
        self._queue: deque[asyncio.Handle] | None = None  # where to, instead of `_ready`

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What this thread makes ready in here runs at the end of it, as the first step of an eager task does. Not from
        within a task.
        """
        own: deque[asyncio.Handle] = deque()
        try:
            with self._into(own):
                yield
        except BaseException:
            self._ready.extend(own)
            raise
        for handle in own:
            if not handle.cancelled():
                handle._run()

    @contextmanager
    def _into(self, queue: deque[asyncio.Handle]) -> Iterator[None]:
        self._queue = queue
        try:
            yield
        finally:
            self._queue = None

    def _call_soon(self, callback: Any, args: Any, context: Any) -> asyncio.Handle:
        """Of any thread."""
        if self._queue is None or get_ident() != self._thread_id:
            handle: asyncio.Handle = super()._call_soon(callback, args, context)  # type: ignore[misc]
        else:
            handle = asyncio.Handle(callback, args, self, context)
            self._queue.append(handle)
        return handle

    @contextmanager
    def _urgently(self) -> Iterator[None]:
        try:
            with self._into(self._urgent):
                yield
        finally:
            self._ready.append(asyncio.Handle(_nothing, (), self))  # a loop with nothing ready waits for its sockets

    def _accept_connection(self, *given: Any, **named: Any) -> None:
        """A probe comes on a connection of its own, which takes several turns to be there."""
        with self._urgently():
            super()._accept_connection(*given, **named)  # type: ignore[misc]

    def _make_socket_transport(self, *given: Any, **named: Any) -> asyncio.Transport:
        """Of a connection that was accepted."""
        with self._urgently():
            transport: asyncio.Transport = super()._make_socket_transport(*given, **named)  # type: ignore[misc]
        return transport

    def _add_callback(self, handle: asyncio.Handle) -> None:
        """A socket is ready, or a signal has come."""
        if not handle.cancelled():
            self._brought.append(handle)

    def _process_events(self, event_list: Any) -> None:
        """Between looking at the sockets and running what is ready.

        What a turn has left over in `_ready` is older than what is held only in front of the handle that releases it;
        a turn runs that handle always, since nothing is put in front of it. So all that is there is younger.
        """
        while self._ready:
            self._held.append(self._ready.popleft())
        super()._process_events(event_list)  # type: ignore[misc]
        turn, self._brought = self._brought, []
        most = max(HANDLES_A_TURN, len(turn))
        for waiting in (self._urgent, self._held):
            turn += [waiting.popleft() for _ in range(min(most, len(waiting)))]
        if self._urgent or self._held:
            turn.append(asyncio.Handle(self._release, (), self))
        self._ready.extendleft(reversed(turn))

    def _release(self) -> None:
        """What is held is older than what has become ready meanwhile."""
        self._ready.extendleft(reversed(self._held))
        self._held.clear()
        self._ready.append(asyncio.Handle(_nothing, (), self))


def _nothing() -> None:
    """Keeps the loop turning."""
