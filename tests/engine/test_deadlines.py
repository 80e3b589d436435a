"""A request ends by its deadline wherever it is, with an error or with what there is; a reused id is a new request."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.engine.test_cancelling import NUM_STEPS, ONE_ROUND, becomes_idle, gated_engine
from tests.members import tiny
from tests.running import Listening, running_engine
from tests.service.fakes import NAMES, OPTIONS, Faults, scripted_member
from tie_core.engine.deadlines import Deadline, Deadlines
from tie_core.engine.engine import Engine
from tie_core.ensemble import Ensemble
from tie_core.errors import DeadlineError
from tie_core.events import Completed, Event, Failed, RoundEnded

STEP = 0.02
PROMPT = "rev 314159; inc 271828; add 141421"


@contextmanager
def slow_engine(**limits: int) -> Iterator[tuple[Engine, Ensemble]]:
    faults = Faults()
    members = [scripted_member(name, faults) for name in NAMES]
    with running_engine(members, **limits) as engine:
        faults.seconds = STEP  # not while models are measured
        yield engine, Ensemble("tie", members, OPTIONS)


def becomes_free(engine: Engine) -> None:
    deadline = time.monotonic() + 30
    while engine.num_running + engine.num_waiting:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def end_of(engine: Engine, ensemble: Ensemble, deadline: Deadline, **asked: object) -> list[Event]:
    listening = Listening()
    engine.submit(ensemble.request(prompt=PROMPT, **asked), listening, deadline)
    events = listening.wait()
    assert becomes_idle(engine)
    return events


def test_an_early_deadline_ends_a_request_with_an_error() -> None:
    with slow_engine() as (engine, ensemble):
        started = time.monotonic()

        *_, failed = end_of(engine, ensemble, Deadline(3 * STEP))

        assert isinstance(failed, Failed)
        assert isinstance(failed.error, DeadlineError)
        assert time.monotonic() - started >= 3 * STEP
        assert "on_deadline" in str(failed.error)


def test_a_late_deadline_changes_nothing() -> None:
    with slow_engine() as (engine, ensemble):
        *_, completed = end_of(engine, ensemble, Deadline(60.0, "partial"))

        assert isinstance(completed, Completed)
        assert (completed.finish_reason, completed.tie.partial) == ("length", False)


def test_before_any_round_there_is_an_empty_text() -> None:
    with slow_engine() as (engine, ensemble):
        *_, completed = end_of(engine, ensemble, Deadline(2 * STEP, "partial"))

        assert isinstance(completed, Completed)
        assert (completed.finish_reason, completed.tie.partial, completed.tie.rounds) == ("deadline", True, 0)
        assert (completed.text, completed.reasoning, completed.answer) == ("", "", "")
        assert completed.usage.prompt_tokens > 0


@pytest.mark.parametrize("num_rounds", [1, 2])
def test_a_partial_answer_is_the_last_leaders_canvas(num_rounds: int) -> None:
    with slow_engine() as (engine, ensemble):
        rounds = [event for event in end_of(engine, ensemble, Deadline(60.0)) if isinstance(event, RoundEnded)]
        deadline = Deadline(STEP * (sum(max(ended.steps.values()) for ended in rounds[:num_rounds]) + 4), "partial")

        events = end_of(engine, ensemble, deadline)

        *_, completed = events
        told = [event for event in events if isinstance(event, RoundEnded)]
        shown: dict[int, str] = {}
        for event in told:
            shown = {at: text for at, text in shown.items() if at not in event.unset}
            shown |= {placed.position: placed.text for placed in event.set}
        assert isinstance(completed, Completed)
        assert completed.tie.rounds == len(told) >= 1
        assert completed.tie.final_model == told[-1].leader
        prefix = 0
        while prefix in shown:
            prefix += 1
        assert completed.reasoning == "".join(shown[at] for at in range(min(prefix, OPTIONS["reasoning"])))
        assert completed.text.startswith(completed.reasoning)
        assert completed.reasoning


def test_a_deadline_holds_while_members_finish_alone() -> None:
    with slow_engine() as (engine, ensemble):
        asked = {"interval": 8, "models": ["zoo-dream"], "answer": 96, "reasoning": 8}

        events = end_of(engine, ensemble, Deadline(40 * STEP, "partial"), **asked)

        assert isinstance(events[-1], Completed)
        assert events[-1].finish_reason == "deadline"


def test_a_deadline_holds_in_the_queue() -> None:
    with slow_engine(max_running=1) as (engine, ensemble):
        first, second, third = Listening(), Listening(), Listening()
        engine.submit(ensemble.request(prompt=PROMPT), first)

        engine.submit(ensemble.request(prompt=PROMPT), second, Deadline(STEP, "partial"))
        engine.submit(ensemble.request(prompt=PROMPT), third, Deadline(STEP))

        *_, completed = second.wait()
        assert isinstance(completed, Completed)
        assert (completed.finish_reason, completed.text) == ("deadline", "")
        assert isinstance(third.wait()[-1].error, DeadlineError)
        assert isinstance(first.wait()[-1], Completed)
        becomes_free(engine)


def test_a_reused_id_never_gets_the_result_of_the_cancelled_request() -> None:
    alone = Ensemble("tiny", [tiny("llada-tiny")]).answer("b", **ONE_ROUND)
    with gated_engine() as (engine, member):
        ensemble, old, new = Ensemble("tiny", [member]), Listening(), Listening()
        engine.submit(ensemble.request(prompt="a", request_id="same", **ONE_ROUND), old)
        for _ in range(NUM_STEPS - 1):
            member.gate.permits.release()
        member.gate.wait_until_asked(NUM_STEPS)

        engine.cancel("same")
        assert isinstance(old.wait()[-1], Failed)
        engine.submit(ensemble.request(prompt="b", request_id="same", **ONE_ROUND), new)
        member.gate.open()

        *_, completed = new.wait()
        assert isinstance(completed, Completed)
        assert completed.text == alone.text


def test_a_cancel_does_not_reach_a_later_request_with_the_same_id() -> None:
    with slow_engine() as (engine, ensemble):
        first, second = Listening(), Listening()
        engine.submit(ensemble.request(prompt=PROMPT, request_id="same"), first)
        engine.cancel("same")
        engine.cancel("same")
        first.wait()
        becomes_free(engine)

        engine.submit(ensemble.request(prompt=PROMPT, request_id="same"), second)

        assert isinstance(second.wait()[-1], Completed)


def test_deadlines_are_due_in_order_and_forget_what_is_discarded() -> None:
    deadlines = Deadlines()
    for key, at in (("late", 9.0), ("soon", 1.0), ("gone", 2.0), ("next", 3.0)):
        deadlines.add(key, at)
    deadlines.discard("gone")

    assert deadlines.seconds_left(0.0, 0.5) == 0.5
    assert deadlines.seconds_left(0.75, 0.5) == 0.25
    assert deadlines.take_due(0.5) == []
    assert deadlines.take_due(4.0) == ["soon", "next"]
    assert len(deadlines) == 1
    assert deadlines.seconds_left(8.75, 0.5) == 0.25
    assert deadlines.seconds_left(10.0, 0.5) == 0.0
