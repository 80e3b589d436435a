"""A cancelled request makes no forward but the one that is running, and keeps nothing."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.members import tiny
from tests.running import Listening, running_engine
from tie_core.engine.engine import Engine
from tie_core.engine.worker import Worker
from tie_core.ensemble import Ensemble
from tie_core.errors import CancelledError
from tie_core.events import Completed
from tie_core.member import Member, Pack
from tie_core.models.key_values import GROWTH
from tie_core.prediction import Columns

ONE_ROUND = {"gen_length": 120, "answer": 6, "block_size": 4, "interval": 120}
NUM_STEPS = 118
NUM_BEFORE = 3


@dataclass
class Gate:
    """Lets so many forwards through, or all; `lengths` are those of the canvases of each that it let through."""

    permits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    is_open: bool = True
    lengths: list[tuple[int, ...]] = field(default_factory=list)
    num_asked: int = 0

    def close(self) -> None:
        self.is_open, self.num_asked = False, 0
        self.lengths.clear()

    def open(self) -> None:
        self.is_open = True
        self.permits.release()

    def wait_until_asked(self, num_forwards: int) -> None:
        deadline = time.monotonic() + 30
        while self.num_asked < num_forwards and time.monotonic() < deadline:
            time.sleep(0.001)
        assert self.num_asked >= num_forwards


@dataclass(frozen=True)
class Gated(Member):
    """A tiny member whose forwards wait at a gate."""

    gate: Gate

    def read(self, pack: Pack) -> Columns:
        self.gate.num_asked += 1
        if not self.gate.is_open:
            self.gate.permits.acquire()
        lengths = pack.whole.lengths if pack.whole else ()
        self.gate.lengths.append(
            lengths + tuple(len(window) for window in (pack.windowed.windows if pack.windowed else ()))
        )
        return super().read(pack)


@contextmanager
def gated_engine(**limits: int) -> Iterator[tuple[Engine, Gated]]:
    """An engine that is warm, over a member whose gate is closed."""
    model = tiny("llada-tiny")
    member = Gated(model.name, model.model, model.vocabulary, Gate())
    with running_engine([member], **limits) as engine:
        member.gate.close()
        try:
            yield engine, member
        finally:
            member.gate.open()


def becomes_idle(engine: Engine) -> bool:
    deadline = time.monotonic() + 10
    while engine.num_rows and time.monotonic() < deadline:
        time.sleep(0.001)
    return engine.num_rows == 0


def cancel_in_the_middle(engine: Engine, member: Gated, **options: str) -> list[tuple[int, ...]]:
    """Cancel a request in its fourth forward; every forward that was made."""
    request = Ensemble("tiny", [member]).request(prompt="a", **ONE_ROUND, **options)
    listening = Listening()
    engine.submit(request, listening)
    for _ in range(NUM_BEFORE):
        member.gate.permits.release()
    member.gate.wait_until_asked(NUM_BEFORE + 1)
    engine.cancel(request.id)
    assert isinstance(listening.wait()[-1].error, CancelledError)
    member.gate.open()
    assert becomes_idle(engine)
    return member.gate.lengths


def test_a_cancelled_request_makes_no_forward_but_the_one_that_runs() -> None:
    with gated_engine() as (engine, member):
        forwards = cancel_in_the_middle(engine, member)

        assert len(forwards) == NUM_BEFORE + 1
        assert (engine.num_rows, engine.num_running, engine.num_waiting) == (0, 0, 0)


def test_these_tests_notice_when_cancelling_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "cancel", lambda *_: None)
    with gated_engine() as (engine, member):
        assert len(cancel_in_the_middle(engine, member)) == NUM_STEPS


def test_a_cancelled_request_keeps_no_keys_and_values() -> None:
    with gated_engine() as (engine, member):
        forwards = cancel_in_the_middle(engine, member, cache="window")

        assert len(forwards) == NUM_BEFORE + 1
        pool = member.model.key_values
        place = pool.reserve(GROWTH)
        assert place == range(GROWTH)  # from its start: nobody holds any of it
        pool.release(place)


def test_a_row_that_is_cancelled_while_rows_are_taken_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows of which one fits a forward, so that each waits while the other runs."""
    goes_on, cancelled, numbers = Worker._goes_on, [], []

    def cancel_then(worker: Worker, *budget: object) -> bool:
        numbers.append(len(worker._backlog))
        if not cancelled and len(numbers) > 4 and worker._running and worker._backlog:
            cancelled.append(worker._running[0].request_id)
            worker.cancel(cancelled[0])
        return goes_on(worker, *budget)

    monkeypatch.setattr(Worker, "_goes_on", cancel_then)
    with gated_engine(max_batch_positions=160) as (engine, member):
        ensemble = Ensemble("tiny", [member])
        requests = [ensemble.request(prompt=text, **ONE_ROUND) for text in ("a", "b")]
        listenings = {request.id: Listening() for request in requests}
        member.gate.open()
        for request in requests:
            engine.submit(request, listenings[request.id])
        (key,) = wait_for(cancelled)
        (victim,) = [run.request.id for run in engine._admitted.values() if run.key == key]
        (other,) = [request.id for request in requests if request.id != victim]
        assert isinstance(listenings[other].wait()[-1], Completed)

        engine.cancel(victim)  # its conductor knows nothing of it yet
        assert becomes_idle(engine)
        assert len(member.gate.lengths) < NUM_STEPS + 10


def wait_for(found: list[str]) -> list[str]:
    deadline = time.monotonic() + 30
    while not found and time.monotonic() < deadline:
        time.sleep(0.001)
    return found
