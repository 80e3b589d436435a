"""Faults of members: each costs one request that member for a round and nothing else, or it ends with a typed error.

What a degraded request comes to is held against the plain driver, which loses the same members to the same rounds.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import ANY

import pytest

from tests.members import tiny
from tests.reliability.faulty import KINDS, MARK, OF_A_WORKER, REASONS, Fault, FaultKind, faulty
from tests.running import DEADLINE, Listening, run_together, running_engine
from tie_core.engine.deadlines import Deadline, Deadlines
from tie_core.engine.engine import Engine
from tie_core.engine.observer import Observer
from tie_core.ensemble import Ensemble, run_plainly
from tie_core.errors import MemberError, NoMemberLeftError
from tie_core.events import Completed, Event, Failed

SHAPE = {"reasoning": 12, "answer": 4, "block_size": 4, "interval": 4}
TOTAL = 16
STALL_SECONDS = 2.5  # more than a busy machine takes for a forward of these
READY_SECONDS = 5.0
NAMES = ("llada-tiny", "dream-tiny")
CLEAN = Ensemble("tiny", [tiny(name) for name in NAMES])
POSITIONS: dict[str, tuple[int, dict[str, Any]]] = {
    "first_step": (TOTAL - 4, {}),
    "mid_round": (TOTAL - 6, {}),
    "last_step": (TOTAL - 7, {}),
    "probe": (TOTAL - 4, {"score": "top1"}),
    "final_stretch": (2, {"interval": 12}),
}
ALONE: dict[str, Any] = {"policy": "threshold", "tau": 0.16, "interval": 6}
ALONE_MASKS = 4
"""With `ALONE` the first member completes in round 1, and the second one finishes alone with so many masks left."""
NUM_MATES = 8


def body(text: str, **options: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **SHAPE, **options}


MATES = [body(f"What is {number} + 2?", score=("tcc", "top1")[number % 2]) for number in range(NUM_MATES)]


@cache
def reference(asked: str, lost: frozenset[tuple[int, str, str]]) -> Completed:
    """By the plain driver, with the same members lost to the same rounds."""
    why = {(number, NAMES.index(model)): reason for number, model, reason in lost}
    request = CLEAN.request(**eval(asked))
    *_, completed = run_plainly(request, lambda number, member: why.get((number, member)))  # type: ignore[arg-type, return-value]
    assert isinstance(completed, Completed)
    return completed


def losses(end: Completed) -> frozenset[tuple[int, str, str]]:
    return frozenset((loss.round, loss.model, loss.reason) for loss in end.tie.lost)


def check_against_reference(asked: dict[str, Any], end: Event) -> None:
    assert isinstance(end, Completed)
    expected = reference(repr(asked), losses(end))
    assert end.tie.degraded == bool(losses(end))
    assert {(loss.round, loss.model) for loss in end.tie.lost} == {(n, model) for n, model, _ in losses(expected)}
    assert (end.text, end.finish_reason, end.tie) == (expected.text, expected.finish_reason, expected.tie)


def known_from(kind: FaultKind, fault: Fault) -> float:
    """The moment from which something is known to be wrong: a stall is one only when it has taken long enough."""
    return fault.struck_at + (STALL_SECONDS if kind == "stall" else 0.0)


class Counting(Observer):
    def __init__(self) -> None:
        self.restarts: list[str] = []

    def on_restart(self, member: str) -> None:
        self.restarts.append(member)


class Scene:
    """An engine whose members fail when they are told to."""

    def __init__(self, engine: Engine, ensemble: Ensemble, faults: list[Fault], observer: Counting) -> None:
        self.engine, self.ensemble, self.faults, self.observer = engine, ensemble, faults, observer

    def ask(self, *bodies: dict[str, Any]) -> list[Event]:
        events = run_together(self.engine, [self.ensemble.request(**asked) for asked in bodies])
        return [told[-1] for told in events]

    def recovers(self, since: float) -> float:
        """Seconds from `since` until every member was there again and a request had been answered by all of them."""
        while self.engine.down:
            assert time.monotonic() - since < READY_SECONDS, "a member stayed down"
            time.sleep(0.01)
        (end,) = self.ask(body("Are you there?"))
        seconds = time.monotonic() - since
        check_against_reference(body("Are you there?"), end)
        assert isinstance(end, Completed)
        assert not end.tie.degraded
        assert seconds < READY_SECONDS
        return seconds


@contextmanager
def scene(stall_seconds: float) -> Iterator[Scene]:
    members, observer = [faulty(tiny(name)) for name in NAMES], Counting()
    with running_engine(members, observer, stall_seconds=stall_seconds) as engine:
        yield Scene(engine, Ensemble("tiny", members), [member.fault for member in members], observer)


def every_case() -> list[tuple[str, int, bool]]:
    """Where a fault of one kind strikes: when, which member, beside others or not."""
    return list(itertools.product(POSITIONS, range(len(NAMES)), (True, False)))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_costs_a_request_one_member_for_a_round(
    kind: FaultKind, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    cases = every_case()[:: numbers(7, 1)]
    slowest = 0.0
    with scene(STALL_SECONDS if kind in OF_A_WORKER else DEADLINE) as run:
        for position, member, has_mates in cases:
            masks, options = POSITIONS[position]
            target = body(f"What is 3 {MARK} 4?", **options)
            run.faults[member].arm(kind, masks)
            asked = [target, *MATES] if has_mates else [target]

            ends = run.ask(*asked)

            assert run.faults[member].num_hits, f"{position}: nothing was hit"
            hit, *others = ends
            for one, end in zip(asked, ends, strict=True):
                check_against_reference(one, end)
            assert isinstance(hit, Completed)
            expected = REASONS.get(kind, kind)
            assert (NAMES[member], expected) in {(loss.model, loss.reason) for loss in hit.tie.lost}, position
            if kind not in OF_A_WORKER:
                assert {loss.model for loss in hit.tie.lost} == {NAMES[member]}
                assert not any(end.tie.degraded for end in others if isinstance(end, Completed))
            slowest = max(slowest, run.recovers(known_from(kind, run.faults[member])))
            run.faults[member].disarm()
        assert len(run.observer.restarts) >= (len(cases) if kind in OF_A_WORKER else 0)
    figure(
        f"faults: {len(cases)} of {kind}, all right or as the reference;"
        f" ready again {slowest:.2f} s after it struck at the latest"
        f"{' and counted as a stall' if kind == 'stall' else ''}"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_only_members_fault_is_a_typed_error(kind: FaultKind) -> None:
    target, mate = body(f"What is 3 {MARK} 4?", models=["llada-tiny"]), body("What is 1 + 2?", models=["dream-tiny"])
    with scene(STALL_SECONDS) as run:
        run.faults[0].arm(kind, TOTAL - 6)

        failed, other = run.ask(target, mate)
        run.recovers(known_from(kind, run.faults[0]))
        run.faults[0].disarm()

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, NoMemberLeftError if kind in OF_A_WORKER else MemberError)
    assert "secret" not in str(failed.error)
    assert isinstance(other, Completed)
    assert not other.tie.degraded


@pytest.mark.parametrize("kind", ["exception", "death"])
def test_fewer_members_than_asked_for_end_a_request(kind: FaultKind) -> None:
    with scene(STALL_SECONDS) as run:
        run.faults[0].arm(kind, TOTAL - 6)

        (failed,) = run.ask(body(f"What is 3 {MARK} 4?", min_models=2))
        run.faults[0].disarm()

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, NoMemberLeftError)


def test_a_member_rejoins_at_the_next_round() -> None:
    with scene(STALL_SECONDS) as run:
        run.faults[0].arm("death", TOTAL - 6)

        (end,) = run.ask(body(f"What is 3 {MARK} 4?"))
        run.faults[0].disarm()

    assert isinstance(end, Completed)
    assert [(loss.round, loss.model, loss.reason) for loss in end.tie.lost] == [(2, "llada-tiny", "died")]
    assert end.tie.nfe["llada-tiny"].decode > 0
    assert run.observer.restarts == ["llada-tiny"]


def test_a_conductor_that_dies_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(DEADLINE) as run:
        run.recovers(time.monotonic())

        monkeypatch.setattr(Engine, "_handle", lambda *_: 1 / 0)
        ends = run.ask(body("What is 1 + 2?"))

        assert isinstance(ends[0], Failed)
        assert run.engine.heartbeats()["conductor"] == float("inf")


def test_a_request_that_ends_a_members_thread_each_time_is_not_handed_to_it_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scene(STALL_SECONDS) as run:
        monkeypatch.setattr(Fault, "disarm", lambda fault: None)
        run.faults[0].arm("death", ANY)

        (end,) = run.ask(body(f"What is 3 {MARK} 4?", interval=2))
        num_hits = run.faults[0].num_hits
        monkeypatch.undo()
        run.faults[0].disarm()
        run.recovers(time.monotonic())

    assert isinstance(end, Completed)
    assert num_hits <= 2
    assert {loss.model for loss in end.tie.lost} == {NAMES[0]}
    assert len(end.tie.lost) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_fails_while_it_finishes_alone_is_no_candidate(kind: FaultKind) -> None:
    target = body(f"What is 3 {MARK} 4?", **ALONE)
    with scene(STALL_SECONDS if kind in OF_A_WORKER else DEADLINE) as run:
        run.faults[1].arm(kind, ALONE_MASKS)

        (end,) = run.ask(target)
        run.recovers(known_from(kind, run.faults[1]))
        run.faults[1].disarm()

    check_against_reference(target, end)
    assert isinstance(end, Completed)
    assert [(loss.round, loss.model, loss.reason) for loss in end.tie.lost] == [(1, NAMES[1], REASONS.get(kind, kind))]
    assert (list(end.tie.candidates), end.tie.final_model) == ([NAMES[0]], NAMES[0])


def test_fewer_members_than_asked_for_while_one_finishes_alone_end_a_request() -> None:
    with scene(DEADLINE) as run:
        run.faults[1].arm("exception", ALONE_MASKS)

        (failed,) = run.ask(body(f"What is 3 {MARK} 4?", min_models=2, **ALONE))

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, NoMemberLeftError)


@pytest.mark.parametrize(
    ("options", "masks"),
    [({"interval": TOTAL}, TOTAL - 4), (ALONE, ALONE_MASKS)],
    ids=["in_a_round", "while_the_other_finishes_alone"],
)
def test_a_partial_answer_is_that_of_a_member_that_had_finished(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], masks: int
) -> None:
    """The deadline comes when one member has finished and the other one hangs."""
    target = body(f"What is 3 {MARK} 4?", **options)
    take_due = Deadlines.take_due
    with scene(DEADLINE) as run:
        run.faults[1].arm("stall", masks)
        finished, other = (run.engine._posts[name] for name in NAMES)

        def due(deadlines: Deadlines, now: float) -> list[str]:
            is_due = run.faults[1].num_hits and finished.num_rows == 0 and run.engine._inbox.empty()
            return take_due(deadlines, now + DEADLINE * bool(is_due))

        monkeypatch.setattr(Deadlines, "take_due", due)
        told = Listening()
        run.engine.submit(run.ensemble.request(**target), told, Deadline(DEADLINE, "partial"))
        end = told.wait()[-1]
        assert other.num_rows == 1
        run.faults[1].disarm()

    alone = CLEAN.answer(**{**target, "models": [NAMES[0]]})
    assert isinstance(end, Completed)
    assert (end.text, end.finish_reason, end.tie.final_model) == (alone.text, "deadline", NAMES[0])
    assert end.tie.partial
    assert not end.tie.degraded
    assert end.timings.decode_ms > 0
