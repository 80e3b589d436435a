"""Running requests through the engine in tests: submit, wait for the terminal events, close whatever happens."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tie_core.denoising import Job, make_job
from tie_core.engine.engine import Engine
from tie_core.engine.observer import Observer
from tie_core.events import Completed, Event, Failed
from tie_core.member import Member
from tie_core.prediction import Prediction
from tie_core.request import Request
from tie_core.tie import Outcome, Round

DEADLINE = 100.0  # seconds


class Listening:
    """Collects one request's events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._ended = threading.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Completed | Failed):
            self._ended.set()

    def wait(self) -> list[Event]:
        assert self._ended.wait(DEADLINE), "the request did not end"
        return self.events


@contextmanager
def running_engine(members: Sequence[Member], observer: Observer | None = None, **limits: float) -> Iterator[Engine]:
    engine = Engine(members, observer=observer, **limits)
    engine.start()
    try:
        yield engine
    finally:
        engine.close()


def run_together(engine: Engine, requests: Iterable[Request]) -> list[list[Event]]:
    """All requests at once; every request's events."""
    listeners = []
    for request in requests:
        listeners.append(Listening())
        engine.submit(request, listeners[-1])
    return [listener.wait() for listener in listeners]


def outcome_of(request: Request) -> tuple[Outcome, list[Round]]:
    """The raw end of a request, with its canvases and rounds: each job alone, one forward at a time."""
    program, rounds, reply = request.program(), [], None
    while True:
        try:
            work = program.send(reply)
        except StopIteration as end:
            return end.value, rounds
        if isinstance(work, Round):
            rounds.append(work)
            reply = None
            continue
        reply = tuple(_finished(request, make_job(item, request.options)) for item in work)


def _finished(request: Request, job: Job) -> Any:
    job.begin()
    while not job.is_finished:
        (prediction,) = request.members[job.work.member].predict([job.query])
        assert isinstance(prediction, Prediction)
        job.accept(prediction)
    return job.result
