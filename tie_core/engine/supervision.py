"""A member's post in the engine: a worker at it, or none until one is started again.

Watches the worker's thread. One that hangs or has ended is retired: its rows are lost to their rounds, what it still
does goes nowhere, and another one takes its place. The conductor's alone, but for what says otherwise.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tie_core.engine.delivery import StepDone, WorkDone
from tie_core.engine.observer import Observer
from tie_core.engine.warm_up import Allowance, WarmUp
from tie_core.engine.worker import Worker
from tie_core.errors import LossReason
from tie_core.lost import Lost
from tie_core.member import Member
from tie_core.request import Request
from tie_core.tie import Decode, Probe

STEADY_TICKS: Final = 8
"""A worker that has made so many sound ones has shown that its model works: the next one starts without delay."""
LONGEST_DELAY: Final = 30.0
MOST_ABANDONED: Final = 4
"""So many threads may hang at once: as many as that, and no other is started until one of them wakes up."""


class Post:
    """Takes work for one member, whoever is there to do it."""

    def __init__(
        self,
        member: Member,
        allowance: Allowance,
        stall_seconds: float,
        observer: Observer,
        deliver: Callable[[StepDone | WorkDone], None],
    ) -> None:
        self.member = member
        self._allowance = allowance
        self._stall_seconds = stall_seconds
        self._observer = observer
        self._deliver = deliver
        self._worker: Worker | None = Worker(member, allowance, observer, deliver)
        self._warmed: WarmUp | None = None
        self._abandoned: list[Worker] = []
        self._num_failures = 0
        self._restart_at = 0.0

    def start(self) -> WarmUp:
        """Wait until the model is warm; from whatever thread starts the engine.

        Raises:
            PlacementError: the device has no memory left to run the model.
        """
        assert self._worker is not None
        self._worker.start()
        self._warmed = self._worker.wait_until_warm()
        return self._warmed

    @property
    def is_down(self) -> bool:
        """From any thread. Whether nobody is here, or somebody who has not shown yet that the device answers."""
        worker = self._worker
        return worker is None or not worker.is_warm

    @property
    def last_beat(self) -> float:
        """From any thread. While nobody is here, the last try."""
        worker = self._worker
        return worker.last_beat if worker is not None else time.monotonic()

    @property
    def num_rows(self) -> int:
        """From any thread."""
        worker = self._worker
        return worker.num_rows if worker is not None else 0

    def submit(self, request: Request, index: int, work: Decode | Probe) -> None:
        """Hand out one job; nobody is asked who is not here."""
        if self._worker is None:
            self.refuse(request, index, Lost("down"))
        else:
            self._worker.submit(request, index, work)

    def refuse(self, request: Request, index: int, lost: Lost) -> None:
        """Answer one job without having it done."""
        self._deliver(WorkDone(request.id, index, lost))

    def cancel(self, request_id: str) -> None:
        if self._worker is not None:
            self._worker.cancel(request_id)

    def close(self) -> None:
        """Stop the thread; one that hangs is left behind."""
        if self._worker is not None:
            self._worker.close()

    @property
    def has_living_threads(self) -> bool:
        """From any thread. Those of retired workers count; lanes do not outlive the worker that waits for them."""
        worker = self._worker
        return any(each.is_alive for each in (*self._abandoned, *([worker] if worker else [])))

    def watch(self, now: float) -> None:
        """See to the worker: retire it, or start one where it is time to. Waits for nobody."""
        self._let_go()
        if self._worker is not None:
            reason = self._worker.trouble(now, self._stall_seconds)
            if reason is not None:
                self._retire(self._worker, reason, now)
        if self._worker is None and now >= self._restart_at:
            self._restart(now)

    def _retire(self, worker: Worker, reason: LossReason, now: float) -> None:
        self._worker = None
        worker.retire(reason)
        self._abandoned.append(worker)
        self._num_failures = 1 if worker.record.num_sound >= STEADY_TICKS else self._num_failures + 1
        self._restart_at = now + delay_after(self._num_failures)

    def _let_go(self) -> None:
        """Forget the retired whose threads have ended, with all that they kept."""
        for worker in self._abandoned:
            if not worker.is_alive:
                worker.let_go()
        self._abandoned = [worker for worker in self._abandoned if worker.is_alive]

    def _restart(self, now: float) -> None:
        if len(self._abandoned) >= MOST_ABANDONED:
            return
        try:
            worker = Worker(self.member.renewed(), self._allowance, self._observer, self._deliver, self._warmed)
            worker.start()
        except BaseException:  # no memory, no thread to be had, a device that is gone: later perhaps
            self._num_failures += 1
            self._restart_at = now + delay_after(self._num_failures)
            return
        self._worker = worker
        with suppress(Exception):  # whoever measures may fail; the conductor may not
            self._observer.on_restart(self.member.name)


def delay_after(num_failures: int) -> float:
    """Seconds before the next start: 0, 1, 2, 4 and so on, so that a model that is broken for good costs little."""
    return 0.0 if num_failures <= 1 else min(LONGEST_DELAY, 2.0 ** (num_failures - 2))
