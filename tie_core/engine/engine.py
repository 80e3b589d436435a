"""The engine: takes requests, drives their TIE loops, and hands the work of each round to the members' workers.

One conductor thread owns every run, so runs need no locks; workers and callers only put messages in its inbox. The
barrier of a round is per request. Knows no HTTP and no asyncio.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Final

import torch

from tie_core.engine import STALL_SECONDS, TICK_SECONDS
from tie_core.engine.deadlines import Deadline, Deadlines
from tie_core.engine.delivery import StepDone, WorkDone
from tie_core.engine.devices import spare_bytes
from tie_core.engine.observer import Observer
from tie_core.engine.run import Listener, Run
from tie_core.engine.supervision import Post
from tie_core.engine.waiting import Waiting
from tie_core.engine.warm_up import Allowance, WarmUp
from tie_core.errors import (
    CancelledError,
    EngineClosedError,
    InternalError,
    OverloadedError,
    RequestError,
    TieError,
    UnknownModelError,
)
from tie_core.member import Member
from tie_core.request import Request

MEMORY_SHARE: Final = 0.9
"""Of the memory that is left beside the weights, for activations: allocators and fragments take the rest."""
WATCH_SECONDS: Final = 0.25
"""How often the workers' threads are looked at."""
CLOSING_SECONDS: Final = 30.0
"""How long the conductor is waited for: it waits for no worker, but listeners are called by it."""


@dataclass(frozen=True, slots=True)
class _Submitted:
    run: Run


@dataclass(frozen=True, slots=True)
class _Cancelled:
    run: Run


@dataclass(frozen=True, slots=True)
class _Closed:
    pass


class Engine:
    """Runs many requests at once over resident members.

    At most `max_running` requests are in their rounds and `max_waiting` in the queue. One packed forward holds what
    should take `tick_seconds`, as each model is measured when the engine starts, and what its device's memory holds;
    `max_batch_positions` bounds it further. A worker whose tick takes more than `stall_seconds`, and far more than such
    ticks do, is given up and replaced. `submit` and `cancel` are safe from any thread and return at once.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        max_running: int = 64,
        max_waiting: int = 256,
        max_batch_positions: int | None = None,
        tick_seconds: float = TICK_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer or Observer()
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._inbox: queue.SimpleQueue[_Submitted | _Cancelled | _Closed | StepDone | WorkDone] = queue.SimpleQueue()
        assert members, "an engine has at least one member"
        self._posts = {
            member.name: Post(
                member,
                _allowance(member, members, tick_seconds, max_batch_positions),
                stall_seconds,
                self._observer,
                self._inbox.put,
            )
            for member in members
        }
        self._waiting = Waiting()  # the conductor's own, by `Run.key`, like the next two
        self.warm_ups: dict[str, WarmUp] = {}  # what each worker learnt of its model, once started
        self._running: dict[str, Run] = {}
        self._deadlines = Deadlines()
        self._admission = threading.Condition()  # guards the two below, and that nothing is put behind _Closed
        self._admitted: dict[str, Run] = {}  # by the request's id
        self._num_submitted = 0
        self._is_draining = False
        self._is_broken = False
        self._last_beat = time.monotonic()
        self._thread = threading.Thread(target=self._conduct, name="tie-conductor", daemon=True)

    def start(self) -> None:
        """Start one worker per member, each warmed up by itself so that it measures no other, then the conductor.

        Raises:
            PlacementError: a device has no memory left to run its model; nothing runs then.
        """
        try:
            for name, post in self._posts.items():
                self.warm_ups[name] = warmed = post.start()
                with suppress(Exception):
                    self._observer.on_warm_up(name, warmed)
        except BaseException:
            self.close()
            raise
        self._thread.start()

    def submit(self, request: Request, listener: Listener, deadline: Deadline | None = None) -> None:
        """Take on a request. `listener` is called from the conductor's thread, ending with `Completed` or `Failed`.

        Raises:
            OverloadedError: the queue is full.
            EngineClosedError: the engine is draining or closed.
            RequestError: a member that is not here, or an id that is still running.
        """
        posts = self._posts_of(request)
        with self._admission:
            if self._is_draining:
                raise EngineClosedError("the server is shutting down and takes no more requests: try another one")
            if len(self._admitted) >= self._max_running + self._max_waiting:
                raise OverloadedError(f"all {len(self._admitted)} places are taken: try again later")
            if request.id in self._admitted:
                raise RequestError("request_id", "a request with this id is still running: give another id")
            self._num_submitted += 1
            run = Run(request, posts, listener, self._observer, str(self._num_submitted), deadline)
            self._admitted[request.id] = run
            self._inbox.put(_Submitted(run))

    def _posts_of(self, request: Request) -> list[Post]:
        if unknown := [member.name for member in request.members if member.name not in self._posts]:
            raise UnknownModelError("models", f"{', '.join(unknown)} is not resident in this engine")
        return [self._posts[member.name] for member in request.members]

    def cancel(self, request_id: str) -> None:
        """End a request with `CancelledError`; its rows are free within one step. Nothing happens if it has ended."""
        with self._admission:
            if (run := self._admitted.get(request_id)) is not None:
                self._inbox.put(_Cancelled(run))

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return len(self._admitted) - len(self._running)

    @property
    def num_rows(self) -> int:
        """Jobs that the workers hold; 0 when nothing runs."""
        return sum(post.num_rows for post in self._posts.values())

    def heartbeats(self) -> Mapping[str, float]:
        """Seconds since each thread was last seen at work, by member name and `conductor`. A member that is `down` has
        none, and counts as seen now.
        """
        now = time.monotonic()
        beats = {name: now - post.last_beat for name, post in self._posts.items()}
        return beats | {"conductor": inf if self._is_broken else now - self._last_beat}

    @property
    def down(self) -> Sequence[str]:
        """Members that nobody works for until their worker is started again and warm."""
        return [name for name, post in self._posts.items() if post.is_down]

    def drain(self, timeout: float) -> bool:
        """Admit nothing more and wait for what is admitted; False if some were left after `timeout` seconds."""
        with self._admission:
            self._is_draining = True
            return self._admission.wait_for(lambda: not self._admitted, timeout)

    def close(self) -> None:
        """Cancel what is left and join all threads, but for those that hang (`has_living_threads`)."""
        with self._admission:
            self._is_draining = True
            self._inbox.put(_Closed())
        if self._thread.is_alive():
            self._thread.join(CLOSING_SECONDS)
        for post in self._posts.values():
            post.close()

    @property
    def has_living_threads(self) -> bool:
        """Whether any thread has not ended: Python's own end would wait for it, or abort over it."""
        return self._thread.is_alive() or any(post.has_living_threads for post in self._posts.values())

    def _conduct(self) -> None:
        """Nobody waits in silence, even if a bug ends this thread."""
        try:
            self._serve()
            error: TieError = CancelledError("the request was cancelled")
        except BaseException as bug:
            self._is_broken = True
            error = InternalError(f"an internal error ended the engine: {type(bug).__name__}")
            with suppress(Exception):
                self._observer.on_bug(error.with_traceback(bug.__traceback__))
        with self._admission:
            self._is_draining = True
        self._end_all(error)

    def _serve(self) -> None:
        next_watch = time.monotonic()
        while True:
            self._last_beat = now = time.monotonic()
            if now >= next_watch:
                next_watch = now + WATCH_SECONDS
                self._watch(now)
            with suppress(queue.Empty):
                message = self._inbox.get(timeout=self._deadlines.seconds_left(now, WATCH_SECONDS))
                if isinstance(message, _Closed):
                    return
                self._handle(message)
            self._end_late_ones()
            self._start_waiting()

    def _watch(self, now: float) -> None:
        for post in self._posts.values():
            try:
                post.watch(now)
            except Exception as bug:  # at one member's post: it must not end the others
                with suppress(Exception):
                    self._observer.on_bug(bug)

    def _handle(self, message: _Submitted | _Cancelled | StepDone | WorkDone) -> None:
        match message:
            case _Submitted(run):
                self._waiting.put(run)
                if run.deadline is not None:
                    self._deadlines.add(run.key, run.submitted + run.deadline.seconds)
                position = max(0, self._waiting.place(run.key) + len(self._running) - self._max_running)
                self._act(run, lambda run: run.announce(position))
            case _Cancelled(run):
                self._cancel(run)
            case StepDone(key):
                if key in self._running:
                    self._act(self._running[key], lambda run: run.tell_step(message))
            case WorkDone(key):
                if key in self._running:
                    self._act(self._running[key], lambda run: run.collect(message))

    def _end_late_ones(self) -> None:
        for key in self._deadlines.take_due(time.monotonic()):
            if (run := self._running.get(key) or self._waiting.get(key)) is not None:
                self._act(run, Run.end_late)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._max_running:
            run = self._waiting.take()
            self._running[run.key] = run
            self._act(run, Run.begin)

    def _act(self, run: Run, act: Callable[[Run], None]) -> None:
        act(run)
        if run.has_ended:
            self._forget(run)

    def _cancel(self, run: Run) -> None:
        if not run.has_ended:
            self._act(run, lambda run: run.fail(CancelledError("the request was cancelled")))

    def _end_all(self, error: TieError) -> None:
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, _Submitted):
                message.run.announce(0)
        with self._admission:
            left = [*self._admitted.values()]
        for run in left:
            run.fail(error)
            self._forget(run)

    def _forget(self, run: Run) -> None:
        self._running.pop(run.key, None)
        self._waiting.remove(run.key)
        self._deadlines.discard(run.key)
        with self._admission:
            self._admitted.pop(run.request.id, None)
            self._admission.notify_all()


def _allowance(member: Member, members: Sequence[Member], tick_seconds: float, max_positions: int | None) -> Allowance:
    """Members on one device share its memory evenly, and those on the CPU its threads."""
    device = torch.device(member.model.device)
    num_sharing = sum(torch.device(other.model.device) == device for other in members)
    max_threads = torch.get_num_threads() // num_sharing if device.type == "cpu" else 1
    memory = int(MEMORY_SHARE * spare_bytes(device) / num_sharing)
    return Allowance(tick_seconds, memory, max_positions, max(1, max_threads))
