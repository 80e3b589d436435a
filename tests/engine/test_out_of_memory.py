"""Memory that runs out in a forward costs time, not answers: only a canvas that does not fit alone fails."""

import threading

import pytest
import torch

from tests.engine.cramped import Cramped, cramped
from tests.members import tiny
from tests.running import run_together, running_engine
from tie_core.engine.backlog import Row
from tie_core.engine.batch import Batch
from tie_core.engine.observer import Observer
from tie_core.ensemble import Ensemble
from tie_core.errors import OutOfMemoryError, PlacementError
from tie_core.events import Completed, Failed

SHAPE = {"gen_length": 24, "answer": 6, "block_size": 4, "interval": 4}
ROOM = 240  # positions that fit


class Counting(Observer):
    """The positions of every forward that ran out of memory."""

    def __init__(self) -> None:
        self.failed: list[int] = []

    def on_out_of_memory(self, member: str, num_positions: int) -> None:
        self.failed.append(num_positions)


def questions(num_requests: int) -> list[dict]:
    return [{"messages": [{"role": "user", "content": f"What is {n} + 2?"}], **SHAPE} for n in range(num_requests)]


def alone(request: dict) -> Completed:
    return Ensemble("tiny", [tiny("llada-tiny")]).answer(**request)


def together(requests: list[dict], observer: Observer, num_positions: int = ROOM) -> tuple[Cramped, list]:
    """All at once, with less memory than the warm-up had; the member and the last events."""
    member = cramped("llada-tiny", 10_000)
    ensemble = Ensemble("tiny", [member])
    with running_engine([member], observer) as engine:
        member.memory.forwards.clear()
        member.memory.num_positions = num_positions
        told = run_together(engine, [ensemble.request(**request) for request in requests])
        return member, [events[-1] for events in told]


def test_a_batch_that_does_not_fit_is_read_in_smaller_ones() -> None:
    observer, requests = Counting(), questions(12)

    member, ends = together(requests, observer)

    assert [(end.text, end.tie) for end in ends] == [
        (result.text, result.tie) for result in map(alone, requests)
    ]  # bit for bit
    assert observer.failed
    assert all(num_positions > ROOM for num_positions in observer.failed)
    failed = [lengths for lengths in member.memory.forwards if sum(lengths) > ROOM]
    assert len(failed) == len(observer.failed)


def test_so_is_a_batch_of_windows() -> None:
    observer = Counting()
    requests = [{**request, "cache": "window", "gen_length": 40} for request in questions(6)]

    _, ends = together([*requests, *questions(4)], observer)

    assert [(end.text, end.tie) for end in ends] == [
        (result.text, result.tie) for result in map(alone, [*requests, *questions(4)])
    ]
    assert observer.failed


def test_after_running_out_of_memory_forwards_are_smaller() -> None:
    member, _ = together(questions(24), Counting())

    num_forwards = len(member.memory.forwards)
    first, last = member.memory.forwards[: num_forwards // 4], member.memory.forwards[num_forwards // 4 :]
    tries = [sum(sum(lengths) > ROOM for lengths in part) / len(part) for part in (first, last)]
    assert tries[1] < 0.2, tries


def test_a_canvas_that_does_not_fit_alone_fails_alone_and_says_what_to_do() -> None:
    large = {**questions(1)[0], "gen_length": 200}

    _, (*ends, failed) = together([*questions(4), large], Counting(), num_positions=150)

    assert isinstance(failed, Failed)
    assert isinstance(failed.error, OutOfMemoryError)
    assert "llada-tiny has too little memory on cpu" in str(failed.error)
    assert "shorten the prompt or gen_length" in str(failed.error)
    assert [end.text for end in ends] == [alone(request).text for request in questions(4)]


def test_without_an_engine_it_is_the_same_error() -> None:
    member = cramped("llada-tiny", 20)

    with pytest.raises(OutOfMemoryError, match="shorten the prompt"):
        Ensemble("tiny", [member]).answer(**questions(1)[0])


def test_an_engine_whose_device_holds_no_forward_does_not_start() -> None:
    members = [cramped("dream-tiny", 10_000), cramped("llada-tiny", 20)]

    with pytest.raises(PlacementError, match="llada-tiny has no memory left"), running_engine(members):
        pass

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tie-")]


def test_rows_whose_ids_do_not_fit_are_taken_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made, begin = Counting(), Batch.__init__

    def crowded(batch: Batch, rows: list[Row], member: Cramped) -> None:
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        begin(batch, rows, member)

    monkeypatch.setattr(Batch, "__init__", crowded)
    requests = questions(8)

    _, ends = together(requests, made, num_positions=10_000)

    assert [(end.text, end.tie) for end in ends] == [(result.text, result.tie) for result in map(alone, requests)]
    assert made.failed


def test_windows_that_nothing_has_room_for_are_read_whole() -> None:
    requests = [{**request, "cache": "window", "gen_length": 40, "interval": 40} for request in questions(6)]
    member = tiny("llada-tiny")
    ensemble = Ensemble("tiny", [member])
    with running_engine([member]) as engine:
        engine._posts[member.name]._worker._most_kept = 150  # two canvases
        told = run_together(engine, [ensemble.request(**request) for request in requests])
    ends = [events[-1] for events in told]

    exact = [alone({**request, "cache": "off"}) for request in requests]
    assert all(isinstance(end, Completed) for end in ends)
    approximate = [bool(end.tie.approximations) for end in ends]
    assert any(approximate)
    assert not all(approximate)
    for end, plain, is_approximate in zip(ends, exact, approximate, strict=True):
        assert is_approximate or (end.text, end.tie) == (plain.text, plain.tie)
