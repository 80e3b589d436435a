"""One request on its way through the engine: its TIE loop, its outstanding work, its story.

Owned by the conductor's thread alone. Whatever goes wrong in it ends this request with a typed error and no other.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from tie_core.engine.deadlines import Deadline
from tie_core.engine.delivery import StepDone, WorkDone
from tie_core.engine.observer import Observer
from tie_core.engine.supervision import Post
from tie_core.errors import DeadlineError, InternalError, TieError
from tie_core.events import Completed, Event, Failed
from tie_core.lost import Lost
from tie_core.narrator import Narrator
from tie_core.request import Request
from tie_core.tie import Decode, Outcome, Probe, Round
from tie_core.trajectory import Trajectory

Listener = Callable[[Event], None]
MOST_SUSPICIONS: Final = 2
"""A request that was there so many times when a member's worker hung or died is not handed to that member again: it
would take it from everybody."""
TOO_LATE: Final = "no answer by the deadline: allow more time, or take what there is by then (on_deadline: partial)"


class Run:
    """A request in the engine. `posts` are its members' ones, in order.

    They know it by `key`, which no other run ever has: what is still on its way for a cancelled request cannot
    reach another one with the same id.
    """

    def __init__(
        self,
        request: Request,
        posts: Sequence[Post],
        listener: Listener,
        observer: Observer,
        key: str,
        deadline: Deadline | None = None,
    ) -> None:
        self.request = request
        self.key = key
        self.deadline = deadline
        self.submitted = time.monotonic()
        self.has_ended = False
        self._keyed = replace(request, id=key)
        self._posts = posts
        self._listener = listener
        self._observer = observer
        self._narrator = Narrator(request)
        self._program = request.program()
        self._work: Sequence[Decode | Probe] = ()
        self._results: dict[int, Any] = {}
        self._answered: Trajectory | None = None  # the first member's that completed, which ends the relays
        self._suspicions: dict[int, list[Lost]] = defaultdict(list)  # by member
        self._ready_at: dict[int, float] = {}  # when each member's part of the round was ready
        self._round_started = time.monotonic()

    def announce(self, queue_position: int) -> None:
        self._guard(lambda: self._listener(self._narrator.created(queue_position)))

    def begin(self) -> None:
        """Leave the queue: hand out the first round's work."""
        self._guard(self._begin)

    def tell_step(self, done: StepDone) -> None:
        self._guard(lambda: self._listener(self._narrator.step(done.member, done.step)))

    def collect(self, done: WorkDone) -> None:
        """Take one result; when the last one of this batch of work is in, the loop goes on."""
        self._guard(lambda: self._collect(done))

    def fail(self, error: TieError) -> None:
        """End without an answer and free every row."""
        if not self.has_ended:
            self._stop()
            self._end(Failed(error.with_traceback(None)), None)  # a traceback would keep other requests' rows alive

    def end_late(self) -> None:
        """The deadline has passed: an error, or the last leader's canvas as far as it is."""
        assert self.deadline is not None
        if self.deadline.then == "error":
            self.fail(DeadlineError(TOO_LATE))
        else:
            self._guard(self._end_partially)

    def _end_partially(self) -> None:
        self._stop()
        self._narrator.stopwatch.lap(self._phase)
        self._end(self._narrator.cut_off(self._answered), None)

    @property
    def _phase(self) -> str:
        """What is waited for."""
        if not self._work:
            return "queue"
        return "decode" if isinstance(self._work[0], Decode) else "score"

    def _stop(self) -> None:
        self._program.close()
        for post in self._posts:
            post.cancel(self.key)

    def _guard(self, act: Callable[[], None]) -> None:
        try:
            act()
        except TieError as error:
            self.fail(error)
        except Exception as error:  # a bug here must not end the other requests
            self._tell(partial(self._observer.on_bug, error))
            self.fail(InternalError(f"an internal error ended this request: {type(error).__name__}"))

    def _begin(self) -> None:
        self._listener(self._narrator.started())
        self._round_started = time.monotonic()
        self._resume(None)

    def _collect(self, done: WorkDone) -> None:
        self._results[done.index] = done.result
        if isinstance(done.result, Trajectory) and done.result.end.is_answered and self._answered is None:
            self._answered = done.result
        self._ready_at[done.index] = time.monotonic()
        if len(self._results) == len(self._work):
            self._note_suspicions()
            self._tell_waits()
            self._narrator.stopwatch.lap(self._phase)
            self._resume(tuple(self._results[index] for index in range(len(self._work))))

    def _resume(self, reply: tuple[Any, ...] | None) -> None:
        """Send results in, tell the rounds that come out, until there is work to hand out or the end."""
        try:
            work = self._program.send(reply)
            while isinstance(work, Round):
                self._tell_round(work)
                work = self._program.send(None)
        except StopIteration as end:
            self._complete(end.value)
            return
        self._narrator.stopwatch.lap("relay")
        self._hand_out(work)

    def _hand_out(self, work: Sequence[Decode | Probe]) -> None:
        self._work, self._results, self._ready_at = work, {}, {}
        for index, item in enumerate(work):
            suspicions = self._suspicions[item.member]
            if len(suspicions) < MOST_SUSPICIONS:
                self._posts[item.member].submit(self._keyed, index, item)
            else:
                self._posts[item.member].refuse(self._keyed, index, Lost(suspicions[-1].reason))

    def _note_suspicions(self) -> None:
        """One for each member whose worker hung or died with this request in its forward."""
        suspect = {
            self._work[index].member: result
            for index, result in self._results.items()
            if isinstance(result, Lost) and result.is_suspect
        }
        for member, lost in suspect.items():
            self._suspicions[member].append(lost)

    def _tell_waits(self) -> None:
        last = max(self._ready_at.values())
        for index, ready_at in self._ready_at.items():
            name = self.request.members[self._work[index].member].name
            self._tell(partial(self._observer.on_barrier_wait, name, last - ready_at))

    def _tell_round(self, ended: Round) -> None:
        now = time.monotonic()
        self._tell(lambda: self._observer.on_round(self.request, ended, now - self._round_started))
        self._round_started = now
        for event in self._narrator.round(ended):
            self._listener(event)

    def _complete(self, outcome: Outcome) -> None:
        self._narrator.stopwatch.lap("relay")
        *events, completed = self._narrator.completed(outcome)
        for event in events:
            self._listener(event)
        assert isinstance(completed, Completed)
        self._end(completed, outcome)

    def _end(self, event: Completed | Failed, outcome: Outcome | None) -> None:
        self.has_ended = True
        self._tell(lambda: self._observer.on_end(self.request, event, outcome))
        self._tell(lambda: self._listener(event))

    @staticmethod
    def _tell(tell: Callable[[], None]) -> None:
        with suppress(Exception):  # whoever listens may fail; the conductor of all requests may not
            tell()
