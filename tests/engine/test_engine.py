"""The engine: requests join and leave, fail alone, and leave nothing behind."""

import threading
import time
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest
import torch

from tests.members import tiny
from tests.running import Listening, run_together, running_engine
from tests.service.served import wait_until
from tie_core.engine.batch import Batch
from tie_core.engine.engine import Engine
from tie_core.engine.observer import Observer, Tick
from tie_core.ensemble import Ensemble, run_plainly
from tie_core.errors import (
    CancelledError,
    EngineClosedError,
    InternalError,
    MemberError,
    NoMemberLeftError,
    OverloadedError,
    RequestError,
    UnknownModelError,
)
from tie_core.events import Completed, Created, Failed, RoundEnded, Started, StepTaken
from tie_core.member import Member

SHAPE = {"gen_length": 24, "answer": 6, "block_size": 4, "interval": 4}
LONG = {**SHAPE, "gen_length": 120}


def question(text: str = "What is 2 + 2?") -> dict:
    return {"messages": [{"role": "user", "content": text}], **SHAPE}


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble("tiny", [tiny("llada-tiny"), tiny("dream-tiny")])


class Sabotaged(Member):
    """A member whose model misbehaves on canvases with a certain token in the prompt."""

    def sabotage(self, trouble, token: int) -> None:
        object.__setattr__(self, "trouble", trouble)
        object.__setattr__(self, "token", token)
        model = self.model

        class Model:
            def __getattr__(self, name):
                return getattr(model, name)

            def hidden(_, ids, lengths, positions):  # noqa: N805
                return trouble(model.hidden(ids, lengths, positions), ids, lengths, positions, token)

        object.__setattr__(self, "model", Model())


def sabotaged(name: str, trouble, token: int) -> Sabotaged:
    member = Sabotaged(name, tiny(name).model, tiny(name).vocabulary)
    member.sabotage(trouble, token)
    return member


def poisoned_rows(ids, lengths, positions, token):
    """Which of the K rows belong to a canvas that holds the token."""
    bounds = torch.tensor(lengths).cumsum(0)
    canvas_of = torch.bucketize(positions, bounds, right=True)
    starts = [0, *bounds.tolist()]
    bad = [number for number in range(len(lengths)) if token in ids[starts[number] : starts[number + 1]].tolist()]
    return torch.isin(canvas_of, torch.tensor(bad, dtype=torch.long))


def gives_nan(hidden, ids, lengths, positions, token):
    rows = poisoned_rows(ids, lengths, positions, token)
    hidden = hidden.clone()
    hidden[rows] = float("nan")
    return hidden


def raises(hidden, ids, lengths, positions, token):
    if poisoned_rows(ids, lengths, positions, token).any():
        raise RuntimeError("secret prompt text")
    return hidden


def becomes_idle(engine: Engine) -> bool:
    """No rows are left; the last events are told before the step that they come from has ended."""
    deadline = time.monotonic() + 2
    while engine.num_rows and time.monotonic() < deadline:
        time.sleep(0.001)
    return engine.num_rows == 0


REASON = {gives_nan: "not_finite", raises: "exception"}


@pytest.mark.parametrize("trouble", [gives_nan, raises])
def test_the_only_members_fault_ends_a_request_alone(ensemble, trouble):
    poison = ensemble.members[0].vocabulary.encode("~")[0]
    faulty = Ensemble("tiny", [sabotaged("llada-tiny", trouble, poison)])
    with running_engine(faulty.members) as engine:
        told, failed = run_together(engine, [faulty.request(**question()), faulty.request(**question("~ boom ~"))])
    assert isinstance(failed[-1].error, MemberError)
    assert "secret" not in str(failed[-1].error)
    assert isinstance(told[-1], Completed)


@pytest.mark.parametrize("trouble", [gives_nan, raises])
def test_a_fault_at_one_request_costs_it_that_member_and_the_others_nothing(ensemble, trouble):
    poison = ensemble.members[0].vocabulary.encode("~")[0]
    members = [sabotaged("llada-tiny", trouble, poison), tiny("dream-tiny")]
    faulty = Ensemble("tiny", members)
    healthy = [question(f"What is {number} + 2?") for number in range(5)]
    with running_engine(members) as engine:
        asked = [faulty.request(**request) for request in (*healthy, question("~ boom ~"))]
        *told, degraded = run_together(engine, asked)
        assert becomes_idle(engine)
    assert {loss.model for loss in degraded[-1].tie.lost} == {"llada-tiny"}
    *_, reference = run_plainly(
        ensemble.request(**question("~ boom ~")), lambda number, member: REASON[trouble] if member == 0 else None
    )
    assert (degraded[-1].text, degraded[-1].tie) == (reference.text, reference.tie)
    for request, events in zip(healthy, told, strict=True):
        alone = ensemble.answer(**request)
        assert (events[-1].text, events[-1].tie) == (alone.text, alone.tie)


def breaks_telling(monkeypatch, request, numbers) -> None:
    """A bug in telling a request's rows, of some of its members, what was done."""
    prompts = [request.canvases[number].prompt for number in numbers]
    catch_up = Batch.catch_up

    def crash(batch, number):
        if batch.rows[number].job.canvas.prompt in prompts:
            raise ValueError("secret text")
        return catch_up(batch, number)

    monkeypatch.setattr(Batch, "catch_up", crash)


@pytest.mark.parametrize(("broken_members", "min_models"), [((0, 1), 1), ((0,), 2)])
def test_a_bug_in_telling_one_row_ends_it_alone(ensemble, monkeypatch, broken_members, min_models):
    expected = MemberError if len(broken_members) == 2 else NoMemberLeftError
    broken = ensemble.request(**question("boom"), min_models=min_models)
    breaks_telling(monkeypatch, broken, broken_members)
    with running_engine(ensemble.members) as engine:
        failed, told = run_together(engine, [broken, ensemble.request(**question())])
        assert becomes_idle(engine)
    assert isinstance(failed[-1].error, expected)
    assert "secret" not in str(failed[-1].error)
    assert_as_alone(ensemble, told)


def test_a_bug_in_telling_one_members_row_costs_its_request_that_member(ensemble, monkeypatch):
    broken = ensemble.request(**question("boom"))
    breaks_telling(monkeypatch, broken, (0,))
    with running_engine(ensemble.members) as engine:
        degraded, told = run_together(engine, [broken, ensemble.request(**question())])
    assert isinstance(degraded[-1], Completed)
    assert {loss.model for loss in degraded[-1].tie.lost} == {"llada-tiny"}
    assert_as_alone(ensemble, told)


def assert_as_alone(ensemble, told) -> None:
    alone = ensemble.answer(**question())
    assert (told[-1].text, told[-1].tie) == (alone.text, alone.tie)


def test_a_bug_in_a_step_ends_its_rows_and_not_the_worker(ensemble, monkeypatch):
    with running_engine(ensemble.members) as engine:
        with monkeypatch.context() as patched:
            patched.setattr(Batch, "step", lambda *_: 1 / 0)
            failed = run_together(engine, [ensemble.request(**question()) for _ in range(3)])
        (told,) = run_together(engine, [ensemble.request(**question())])
    assert all(isinstance(events[-1].error, MemberError) for events in failed)
    assert isinstance(told[-1], Completed)


def test_a_crash_in_the_relay_ends_its_request_alone(ensemble, monkeypatch):
    def crash(canvas, *rest):
        if len(canvas.prompt) == len(broken.canvases[0].prompt):
            raise ValueError("tokenizer crashed on secret text")
        return transcode(canvas, *rest)

    from tie_core.relay import transcode

    broken = ensemble.request(**question("a much longer question than the other one has"))
    monkeypatch.setattr("tie_core.relay.transcode", crash)
    with running_engine(ensemble.members) as engine:
        failed, told = run_together(engine, [broken, ensemble.request(**question())])
    assert isinstance(failed[-1].error, InternalError)
    assert "secret" not in str(failed[-1].error)
    assert isinstance(told[-1], Completed)


def test_a_listener_that_raises_ends_its_own_request(ensemble):
    ended = threading.Event()

    def broken(event):
        if isinstance(event, RoundEnded):
            raise ValueError("listener bug")
        if isinstance(event, Failed):
            ended.set()
            raise ValueError("again")

    with running_engine(ensemble.members) as engine:
        engine.submit(ensemble.request(**question()), broken)
        assert ended.wait(30)
        (told,) = run_together(engine, [ensemble.request(**question())])
    assert isinstance(told[-1], Completed)


class Faulty(Observer):
    """Raises whatever it is told."""

    def on_tick(self, *told):
        raise ValueError("observer bug")

    on_barrier_wait = on_round = on_bug = on_end = on_tick


def test_an_observer_that_raises_disturbs_nobody(ensemble):
    with running_engine(ensemble.members, Faulty()) as engine:
        told = run_together(engine, [ensemble.request(**question()) for _ in range(3)])
    assert all(isinstance(events[-1], Completed) for events in told)


def test_many_waiting_requests_may_fail_at_once(ensemble):
    ended = threading.Semaphore(0)

    def broken(event):
        if isinstance(event, Failed):
            ended.release()
        raise ValueError("listener bug")

    request = ensemble.request(**question())
    with running_engine(ensemble.members, max_running=1, max_waiting=2000) as engine:
        for number in range(1500):
            engine.submit(replace(request, id=f"tie-{number}"), broken)
        assert all(ended.acquire(timeout=30) for _ in range(1500))
        (told,) = run_together(engine, [request])
        assert isinstance(told[-1], Completed)
        assert (engine.num_running, engine.num_waiting) == (0, 0)


def test_an_id_that_is_running_is_refused(ensemble):
    request = ensemble.request(**{**question(), **LONG})
    listener = Listening()
    with running_engine(ensemble.members) as engine:
        engine.submit(request, listener)
        with pytest.raises(RequestError, match="still running"):
            engine.submit(request, Listening())
    assert isinstance(listener.wait()[-1], Failed)


def test_a_member_of_another_engine_is_refused_and_takes_no_place(ensemble):
    with running_engine(ensemble.members[:1], max_running=1, max_waiting=0) as engine:
        for _ in range(3):
            with pytest.raises(UnknownModelError, match="dream-tiny"):
                engine.submit(ensemble.request(**question()), Listening())
        assert engine.drain(1)


def test_every_request_that_was_taken_ends_even_if_the_engine_is_closing(ensemble, numbers):
    request = ensemble.request(**question())
    for _ in range(numbers(4, 20)):
        listeners = []

        def submit(engine, listeners=listeners):
            with suppress(EngineClosedError):
                for _ in range(100):
                    listener = Listening()
                    engine.submit(replace(request, id=uuid4().hex), listener)
                    listeners.append(listener)

        with running_engine(ensemble.members, max_waiting=10_000) as engine:
            threads = [threading.Thread(target=submit, args=(engine,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.001)
        for thread in threads:
            thread.join()
        assert all(isinstance(listener.wait()[-1], Completed | Failed) for listener in listeners)


def test_an_engine_that_never_started_can_be_closed(ensemble):
    Engine(ensemble.members).close()


def test_a_failed_request_keeps_nothing_of_its_batch_mates_alive(ensemble):
    poison = ensemble.members[0].vocabulary.encode("~")[0]
    members = [sabotaged("llada-tiny", gives_nan, poison)]
    with running_engine(members) as engine:
        (failed,) = run_together(engine, [Ensemble("tiny", members).request(**question("~"))])
    assert failed[-1].error.__traceback__ is None


def test_a_long_round_with_every_step_told_holds_nobody_up(ensemble):
    slow = ensemble.request(
        prompt="a", models=["dream-tiny"], task="open", gen_length=480, interval=10_000, detail="step"
    )
    with running_engine(ensemble.members) as engine:
        listener, started = Listening(), time.monotonic()
        engine.submit(slow, listener)
        longest = 0.0
        while not isinstance(listener.events[-1:] and listener.events[-1], Completed):
            longest = max(longest, engine.heartbeats()["conductor"])
            time.sleep(0.01)
            assert time.monotonic() - started < 90
    assert longest < 2.0


def test_events_come_in_order_with_one_terminal_event(ensemble):
    with running_engine(ensemble.members) as engine:
        (events,) = run_together(engine, [ensemble.request(**question(), detail="step")])
    assert [type(event) for event in events[:3]] == [Created, Started, StepTaken]
    assert isinstance(events[-1], Completed)
    assert sum(isinstance(event, Completed | Failed) for event in events) == 1
    rounds = [event.round for event in events if isinstance(event, RoundEnded)]
    assert rounds == list(range(1, len(rounds) + 1))
    steps = [
        (event.round, event.step) for event in events if isinstance(event, StepTaken) and event.model == "llada-tiny"
    ]
    assert steps == sorted(steps)


def test_sets_and_unsets_rebuild_the_leaders_text(ensemble):
    with running_engine(ensemble.members) as engine:
        (events,) = run_together(engine, [ensemble.request(**question())])
    canvas = events[0].canvas
    shown: dict[int, str] = {}
    for event in events:
        if isinstance(event, RoundEnded):
            for position in event.unset:
                del shown[position]
            shown |= {position: text for position, text, _ in event.set}
            assert len(shown) == canvas.reasoning + canvas.answer - event.masked_left


def test_cancelling_twice_or_after_the_end_does_nothing(ensemble):
    with running_engine(ensemble.members) as engine:
        (events,) = run_together(engine, [request := ensemble.request(**question())])
        engine.cancel(request.id)
        engine.cancel("never seen")
        (again,) = run_together(engine, [ensemble.request(**question())])
    assert isinstance(again[-1], Completed)
    assert len([event for event in events if isinstance(event, Completed | Failed)]) == 1


def test_what_does_not_fit_the_queue_is_refused_at_once(ensemble):
    listeners = [Listening() for _ in range(3)]
    with running_engine(ensemble.members, max_running=1, max_waiting=2) as engine:
        for listener in listeners:
            engine.submit(ensemble.request(**{**question(), **LONG}), listener)
        with pytest.raises(OverloadedError):
            engine.submit(ensemble.request(**question()), Listening())
        wait_until(lambda: all(listener.events for listener in listeners))
    assert [listener.events[0].queue_position for listener in listeners] == [0, 1, 2]


def test_draining_finishes_what_runs_and_takes_nothing_more(ensemble):
    listener = Listening()
    with running_engine(ensemble.members) as engine:
        engine.submit(ensemble.request(**question()), listener)
        assert engine.drain(30)
        assert isinstance(listener.wait()[-1], Completed)
        with pytest.raises(EngineClosedError):
            engine.submit(ensemble.request(**question()), Listening())


def test_closing_ends_every_request_and_thread(ensemble):
    listeners = [Listening() for _ in range(4)]
    with running_engine(ensemble.members, max_running=2) as engine:
        for listener in listeners:
            engine.submit(ensemble.request(**{**question(), **LONG}), listener)
    assert all(isinstance(listener.wait()[-1].error, CancelledError) for listener in listeners)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tie-")]


def test_rows_of_all_requests_share_a_forward(ensemble):
    class Counting(Observer):
        def __init__(self):
            self.ticks: list[Tick] = []

        def on_tick(self, tick):
            self.ticks.append(tick)

    observer = Counting()
    with running_engine(ensemble.members, observer) as engine:
        told = run_together(engine, [ensemble.request(**question(), score="top1") for _ in range(8)])
    counted = sum(tick.decode_rows + tick.score_rows for tick in observer.ticks)
    # decoding steps that were read before the round count as decoding, whoever ran the forward
    spent = sum(nfe.decode + nfe.score for events in told for nfe in events[-1].tie.nfe.values())
    assert counted == spent
    assert max(tick.decode_rows + tick.score_rows for tick in observer.ticks) >= 8
    assert len(observer.ticks) < counted / 3
