"""Workers whose threads hang or end: retired, replaced, and never heard of again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import ANY

import pytest

from tests.members import tiny
from tests.reliability.faulty import MARK, Fault, Faulty, Killed, faulty
from tie_core.engine.observer import Observer
from tie_core.engine.reading import MOST_FAILED
from tie_core.engine.supervision import LONGEST_DELAY, MOST_ABANDONED, Post, delay_after
from tie_core.engine.warm_up import Allowance
from tie_core.ensemble import Ensemble
from tie_core.lost import Lost
from tie_core.member import Member
from tie_core.request import Request
from tie_core.scoring import History, Scope
from tie_core.tie import Decode

ALLOWANCE = Allowance(tick_seconds=0.5, memory_bytes=10**9, max_positions=None, max_threads=1)
STALL_SECONDS = 0.2
NUM_MASKS = 16


class Restarts(Observer):
    def __init__(self) -> None:
        self.num = 0

    def on_restart(self, member: str) -> None:
        self.num += 1


class Posted:
    """A post with a member that can be made to fail, and everything that it delivered."""

    def __init__(self) -> None:
        self.member: Faulty = faulty(tiny("llada-tiny"))
        self.delivered: list[Any] = []
        self.observer = Restarts()
        self.post = Post(self.member, ALLOWANCE, STALL_SECONDS, self.observer, self.delivered.append)
        self.post.start()

    @property
    def fault(self) -> Fault:
        return self.member.fault

    @property
    def reasons(self) -> list[str]:
        return [done.result.reason for done in self.delivered if isinstance(done.result, Lost)]

    def submit(self, key: str, num_steps: int | None = None, **options: Any) -> None:
        request, work = one_job(self.member, key, num_steps, **options)
        self.post.submit(request, 0, work)

    def watch_until(self, num_delivered: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.delivered) < num_delivered:
            assert time.monotonic() < deadline, "nothing came"
            self.post.watch(time.monotonic())
            time.sleep(0.01)


def one_job(member: Faulty, key: str, num_steps: int | None, **options: Any) -> tuple[Request, Decode]:
    shape = {"reasoning": 12, "answer": 4, "block_size": 4}
    request = Ensemble("tiny", [member]).request(prompt=f"What is 3 {MARK} 4?", request_id=key, **shape, **options)
    (canvas,) = request.canvases
    scope = Scope(canvas.layout.scored_region, member.vocabulary.end_ids)
    return request, Decode(0, canvas, History(scope), num_steps)


@pytest.fixture
def posted() -> Any:
    posted = Posted()
    yield posted
    posted.fault.disarm()
    posted.post.close()


def test_what_a_retired_worker_still_does_goes_nowhere(posted: Posted) -> None:
    posted.fault.arm("stall", NUM_MASKS)
    (hung,) = [thread for thread in threading.enumerate() if thread.name == "tie-worker-llada-tiny"]

    posted.submit("hangs", num_steps=1)
    posted.watch_until(1)
    posted.fault.disarm()
    hung.join(10)

    assert not hung.is_alive()
    assert posted.reasons == ["stalled"]
    assert len(posted.delivered) == 1


def test_another_worker_takes_over_with_a_pool_and_lanes_of_its_own(posted: Posted) -> None:
    posted.fault.arm("stall", NUM_MASKS)

    posted.submit("hangs")
    posted.watch_until(1)
    posted.submit("goes on")
    posted.watch_until(2)

    assert posted.reasons == ["stalled"]
    assert posted.observer.num == 1
    assert posted.delivered[1].request_id == "goes on"
    assert posted.delivered[1].result.end.is_complete
    assert posted.post._worker is not None
    assert posted.post._worker.member.model is not posted.member.model
    assert posted.post._worker.member.model.key_values is not posted.member.model.key_values
    assert posted.post._worker.member.model.lanes is not posted.member.model.lanes


def test_a_row_that_waits_is_lost_with_the_worker(posted: Posted) -> None:
    posted.fault.arm("stall", NUM_MASKS)

    posted.submit("hangs")
    time.sleep(0.05)
    posted.submit("waits")
    posted.watch_until(2)

    assert posted.reasons == ["stalled", "stalled"]
    assert posted.post.num_rows == 0


def test_a_model_that_is_broken_for_good_is_left_alone_for_longer_and_longer(posted: Posted) -> None:
    for number in range(3):
        posted.fault.arm("death", NUM_MASKS)
        posted.submit(f"dies {number}")
        posted.watch_until(number + 1)

    assert posted.reasons == ["died", "died", "down"]
    assert posted.post.is_down
    assert posted.observer.num == 1


def test_what_was_shown_to_work_starts_again_without_delay(posted: Posted) -> None:
    for number in range(3):
        posted.submit(f"works {number}")
        posted.watch_until(2 * number + 1)
        posted.fault.arm("death", NUM_MASKS)
        posted.submit(f"dies {number}")
        posted.watch_until(2 * number + 2)

    assert posted.reasons == ["died"] * 3
    assert posted.observer.num == 3


def test_threads_that_hang_for_good_are_not_piled_up(posted: Posted) -> None:
    for number in range(MOST_ABANDONED):
        posted.fault.arm("stall", NUM_MASKS)
        posted.submit(f"hangs {number}")
        posted.watch_until(number + 1)
        posted.post.watch(time.monotonic() + LONGEST_DELAY)

    assert posted.post.is_down
    posted.fault.disarm()
    deadline = time.monotonic() + 10
    while posted.post.is_down and time.monotonic() < deadline:
        posted.post.watch(time.monotonic() + LONGEST_DELAY)
        time.sleep(0.01)
    assert not posted.post.is_down


def test_delays_grow_up_to_half_a_minute() -> None:
    assert [delay_after(number) for number in range(1, 9)] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_start_that_hangs_holds_nobody_and_is_given_up(posted: Posted, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()

    @contextmanager
    def hanging(device: Any) -> Iterator[None]:
        gone.wait(60)
        yield

    posted.fault.arm("death", NUM_MASKS)
    monkeypatch.setattr("tie_core.engine.worker.own_stream", hanging)
    posted.submit("dies")
    posted.watch_until(1)
    posted.submit("waits for a worker that never starts")
    started = time.monotonic()
    posted.post.watch(started)
    posted.watch_until(2)
    gone.set()

    assert posted.post.is_down
    assert posted.reasons == ["died", "stalled"]
    assert posted.post.last_beat <= time.monotonic()


@pytest.mark.parametrize("kind", [RuntimeError, Killed])
def test_a_start_that_fails_is_tried_again_later(
    posted: Posted, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    def gone(member: Member) -> Member:
        raise kind("device-side assert triggered")

    posted.fault.arm("death", NUM_MASKS)
    with monkeypatch.context() as patched:
        patched.setattr(Member, "renewed", gone)
        posted.submit("dies")
        posted.watch_until(1)
        posted.post.watch(time.monotonic())
        assert posted.post.is_down

    posted.post.watch(time.monotonic() + LONGEST_DELAY)
    posted.submit("goes on")
    posted.watch_until(2)
    assert posted.reasons == ["died"]


def test_a_retired_worker_is_let_go_once_its_thread_has_ended(posted: Posted) -> None:
    posted.fault.arm("stall", NUM_MASKS)
    posted.submit("hangs", cache="window")
    posted.watch_until(1)
    kept = posted.member.model.key_values

    assert posted.post.has_living_threads
    (retired,) = posted.post._abandoned
    posted.fault.disarm()
    retired._thread.join(10)
    posted.post.watch(time.monotonic())
    posted.post.close()

    assert not posted.post._abandoned
    assert kept.num_positions == 0
    assert not posted.post.has_living_threads


def test_a_model_that_fails_for_everybody_is_started_anew_and_left_alone_for_longer(posted: Posted) -> None:
    posted.fault.arm("exception", ANY)

    for number in range(3 * MOST_FAILED):
        posted.submit(f"fails {number}")
        posted.watch_until(number + 1)
        posted.post.watch(time.monotonic())

    assert set(posted.reasons[:MOST_FAILED]) == {"exception"}
    assert posted.reasons[-1] == "down"
    assert posted.post.is_down
    assert posted.observer.num == 1


def test_one_request_that_fails_time_after_time_costs_nobody_the_worker(posted: Posted) -> None:
    posted.fault.arm("exception", ANY)

    for number in range(2 * MOST_FAILED):
        posted.submit("fails")
        posted.watch_until(number + 1)
    posted.post.watch(time.monotonic())

    assert not posted.post.is_down
    assert posted.observer.num == 0


def test_a_retired_worker_does_not_go_on_row_by_row(posted: Posted, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, num_forwards = posted.post._worker, []
    assert worker is not None

    def raise_late(self: Member, pack: Any) -> Any:
        num_forwards.append(1)
        worker.retire("stalled")
        raise RuntimeError("the lanes are closed")

    monkeypatch.setattr(Faulty, "read", raise_late)
    with worker._changed:  # both in one batch
        posted.submit("one")
        posted.submit("two")
    worker._thread.join(10)

    assert len(num_forwards) == 1
    assert posted.reasons == ["stalled", "stalled"]
