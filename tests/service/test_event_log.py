"""The event log: numbered without gaps, merged where it grows long, rounds and the end always kept, for any reader."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.event_log import Delivered, EventLog, Reader
from service.states import States
from service.turns import Turns
from tests.running import running_engine
from tests.service.fakes import NAMES, OPTIONS, Faults, scripted_member
from tests.service.served import PROMPT
from tie_core.engine.observer import Observer
from tie_core.ensemble import Ensemble
from tie_core.errors import MemberError
from tie_core.events import Completed, Event, Failed, RoundEnded
from tie_core.request import Request
from tie_core.tie import Round


def recorded(detail: str) -> tuple[Request, list[Event | Round]]:
    """One request's story as the service hears it: each round's canvases, then its event."""
    members = [scripted_member(name, Faults()) for name in NAMES]
    request = Ensemble("tie", members, OPTIONS).request(prompt=PROMPT, detail=detail)
    story: list[Event | Round] = []
    has_ended = threading.Event()

    class Recorder(Observer):
        def on_round(self, request: Request, ended: Round, seconds: float) -> None:
            story.append(ended)

    def listen(event: Event) -> None:
        story.append(event)
        if isinstance(event, Completed | Failed):
            has_ended.set()

    with running_engine(members, Recorder()) as engine:
        engine.submit(request, listen)
        assert has_ended.wait(60)
    return request, story


STORY = {detail: recorded(detail) for detail in ("step", "snapshot")}


def put(log: EventLog, entry: Event | Round) -> None:
    if isinstance(entry, Round):
        log.put_canvases(entry.canvases)
    else:
        log.put(entry)


async def rest(reader: Reader) -> list[Delivered]:
    return [await reader.get() async for _ in until_over(reader)]


async def until_over(reader: Reader) -> AsyncIterator[None]:
    while not reader.is_over:
        yield


def play(detail: str, max_states: int, reads_after: Callable[[int], int], *, seals: bool = False) -> list[Delivered]:
    """Put the story in; after the n-th entry the reader takes up to `reads_after(n)` events, at the end all."""
    request, story = STORY[detail]

    async def run() -> list[Delivered]:
        log = EventLog(request, max_states, Turns(16))
        reader, delivered = log.read(), list[Delivered]()
        for index, entry in enumerate(story):
            put(log, entry)
            for _ in range(0 if isinstance(entry, Round) else reads_after(index)):
                if delivered and delivered[-1].seq == log.num_produced:
                    break
                delivered.append(await reader.get())
        if seals:
            log.write_out()
            log.seal()
        return delivered + await rest(reader)

    return asyncio.run(run())


def shown_by_steps(delivered: list[Delivered]) -> dict[str, dict[int, str]]:
    """Each member's canvas from steps and snapshots alone, by position."""
    canvases: dict[str, dict[int, str]] = {name: {} for name in NAMES}
    for event in delivered:
        if event.type == "tie.snapshot":
            canvases = {
                name: {at: text for at, text in enumerate(model["tokens"]) if text is not None}
                for name, model in event.data["models"].items()
            }
        elif event.type == "tie.step":
            canvases[event.data["model"]] |= {at: text for at, text, _ in event.data["set"]}
    return canvases


def answers_shown(delivered: list[Delivered]) -> dict[str, str]:
    """What a reader of the states holds for each member's answer; right once a snapshot came after the last relay."""
    texts = {
        name: "".join(text for _, text in sorted(canvas.items())) for name, canvas in shown_by_steps(delivered).items()
    }
    return {name: text.partition(" Answer:")[2] for name, text in texts.items()}


def shown_by_rounds(delivered: list[Delivered]) -> dict[int, str]:
    """The leader's canvas, as a client keeps it."""
    shown: dict[int, str] = {}
    for event in delivered:
        if event.type == "tie.round":
            shown = {at: text for at, text in shown.items() if at not in event.data["unset"]}
            shown |= {at: text for at, text, _ in event.data["set"]}
    return shown


def check_snapshots(delivered: list[Delivered], detail: str) -> None:
    """Each is what the members' canvases were right after the event of its number."""
    request, story = STORY[detail]
    states, at, relayed = States(request), dict[int, Any](), None
    for entry in story:
        if isinstance(entry, Round):
            relayed = entry.canvases
            continue
        states.apply(entry, relayed)
        at[len(at) + 1] = states.tokens()
    for event in delivered:
        assert event.type != "tie.snapshot" or event.data["models"] == at[event.seq]


def check_story(delivered: list[Delivered], detail: str) -> None:
    _, story = STORY[detail]
    produced = sum(not isinstance(entry, Round) for entry in story)
    num_rounds = sum(isinstance(entry, RoundEnded) for entry in story)
    assert len(delivered) + sum(event.data.get("skipped", 0) for event in delivered) == produced
    assert all(before.seq < after.seq for before, after in pairwise(delivered))
    assert [event.type for event in delivered].count("tie.round") == num_rounds
    assert [event.is_last for event in delivered].count(True) == 1
    assert delivered[-1].type == "tie.completed"
    assert "skipped" not in delivered[-1].data


def test_a_reader_that_keeps_up_gets_every_event() -> None:
    delivered = play("step", 256, lambda index: 1)

    check_story(delivered, "step")
    assert [event.seq for event in delivered] == list(range(1, len(delivered) + 1))
    assert all("skipped" not in event.data for event in delivered)


@pytest.mark.parametrize("seals", [False, True])
def test_a_reader_that_sleeps_gets_one_snapshot_for_the_older_steps(seals: bool) -> None:
    delivered = play("step", 4, lambda index: 0, seals=seals)

    kinds = [event.type for event in delivered]
    check_story(delivered, "step")
    assert sum(event.skipped for event in delivered) > 50
    assert len([kind for kind in kinds if kind in ("tie.step", "tie.snapshot", "tie.answer")]) <= 4
    assert kinds.count("tie.snapshot") == 1
    assert answers_shown(delivered) == delivered[-1].data["tie"]["candidates"]


@pytest.mark.parametrize("seals", [False, True])
def test_a_reader_of_snapshots_gets_one_for_all_steps_that_wait(seals: bool) -> None:
    delivered = play("snapshot", 256, lambda index: 0, seals=seals)

    check_story(delivered, "snapshot")
    assert [event.type for event in delivered].count("tie.snapshot") == 1
    assert answers_shown(delivered) == delivered[-1].data["tie"]["candidates"]


def test_a_reader_of_rounds_gets_no_steps_of_a_run_that_tells_them() -> None:
    request, story = STORY["step"]

    async def run() -> list[Delivered]:
        log = EventLog(request, 256, Turns(16))
        for entry in story:
            put(log, entry)
        return await rest(log.read(0, "round"))

    delivered = asyncio.run(run())
    check_story(delivered, "step")
    assert not {"tie.step", "tie.snapshot"} & {event.type for event in delivered}


@pytest.mark.parametrize("seals", [False, True])
@pytest.mark.parametrize("max_states", [4, 16, 256])
def test_a_reader_that_comes_back_folds_to_the_same_canvas(
    max_states: int, seals: bool, numbers: Callable[[int, int], int]
) -> None:
    """Cut everywhere, or nearly: what was seen before the cut, and what is kept after it."""
    request, story = STORY["step"]
    produced = sum(not isinstance(entry, Round) for entry in story)

    async def run(cut: int) -> list[Delivered]:
        log = EventLog(request, max_states, Turns(16))
        first, before = log.read(), list[Delivered]()
        for entry in story:
            put(log, entry)
            if log.num_produced <= cut and not isinstance(entry, Round):
                before.append(await first.get())
        if seals:
            log.write_out()
            log.seal()
        return before + await rest(log.read(cut))

    whole = shown_by_rounds(play("step", 256, lambda index: 1))
    for cut in range(0, produced + 1, numbers(3, 1)):
        delivered = asyncio.run(run(cut))
        check_story(delivered, "step")
        assert shown_by_rounds(delivered) == whole
        check_snapshots(delivered, "step")
        if max_states == 256:
            assert [event.seq for event in delivered] == list(range(1, produced + 1))


def test_readers_do_not_disturb_each_other() -> None:
    request, story = STORY["step"]

    async def run() -> tuple[list[Delivered], list[Delivered]]:
        log = EventLog(request, 32, Turns(16))
        quick, fast = log.read(), list[Delivered]()
        for entry in story:
            put(log, entry)
            if not isinstance(entry, Round):
                fast.append(await quick.get())
        return fast, await rest(log.read())

    fast, late = asyncio.run(run())
    check_story(fast, "step")
    check_story(late, "step")
    assert not any(event.skipped for event in fast)
    assert any(event.skipped for event in late)


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 40), st.lists(st.integers(0, 6), min_size=1, max_size=30), st.sampled_from(["step", "snapshot"]))
def test_whatever_the_readers_pace_the_sums_and_the_last_state_agree(
    max_states: int, reads: list[int], detail: str
) -> None:
    delivered = play(detail, max_states, lambda index: reads[index % len(reads)])

    check_story(delivered, detail)
    check_snapshots(delivered, detail)
    last_round = max(event.seq for event in delivered if event.type == "tie.round")
    if any(event.type == "tie.snapshot" and event.seq > last_round for event in delivered):
        assert answers_shown(delivered) == delivered[-1].data["tie"]["candidates"]


def test_what_is_kept_stays_bounded() -> None:
    request, story = STORY["step"]
    events = [entry for entry in story if not isinstance(entry, Round)]

    async def run() -> int:
        log = EventLog(request, 16, Turns(16))
        most = 0
        for _ in range(50):
            for event in events[2:-1]:
                log.put(event)
                most = max(most, log.num_kept)
        return most

    num_rounds = sum(isinstance(event, RoundEnded) for event in events)
    assert asyncio.run(run()) <= 16 + 50 * num_rounds


def test_a_writer_in_another_thread_wakes_the_reader() -> None:
    request, story = STORY["step"]

    async def run() -> list[Delivered]:
        log = EventLog(request, 256, Turns(16))

        def write() -> None:
            for entry in story:
                put(log, entry)
                time.sleep(0.0005)  # so that the reader has to wait

        writer = threading.Thread(target=write)
        writer.start()
        async with asyncio.timeout(10):
            delivered = await rest(log.read())
        writer.join()
        return delivered

    check_story(asyncio.run(run()), "step")


def test_the_readers_of_many_logs_are_woken_a_few_a_turn() -> None:
    request, _ = STORY["step"]

    async def run() -> list[int]:
        """How many readers had their event after each turn of the event loop."""
        turns = Turns(4)
        logs = [EventLog(request, 16, turns) for _ in range(40)]
        reads = [asyncio.create_task(log.read().get()) for log in logs]
        await asyncio.sleep(0)
        for log in logs:
            log.put(Failed(MemberError("")))
        done = [0]
        while done[-1] < len(logs):
            await asyncio.sleep(0)
            done.append(sum(read.done() for read in reads))
        return done

    done = asyncio.run(asyncio.wait_for(run(), 10))
    assert max(after - before for before, after in pairwise(done)) == 4


def test_a_failure_is_told_in_the_one_error_shape() -> None:
    request, _ = STORY["step"]

    async def run() -> dict[str, Any]:
        log = EventLog(request, 16, Turns(16))
        log.put(Failed(MemberError("0x7ffe")))
        return (await log.read().get()).data

    data = asyncio.run(run())
    assert set(data["error"]) == {"message", "type", "param", "code"}
    assert (data["type"], data["seq"], data["retryable"]) == ("tie.error", 1, False)
    assert "0x7ffe" not in str(data)


def test_a_sealed_log_leaves_nothing_to_search_for_garbage() -> None:
    """The search holds all threads up, and a thousand logs are kept."""
    request, story = STORY["step"]

    async def sealed() -> EventLog:
        log = EventLog(request, 256, Turns(16))
        for entry in story:
            put(log, entry)
        log.write_out()
        log.seal()
        return log

    log = asyncio.run(sealed())
    gc.collect()

    rows = log._entries._rows  # type: ignore[union-attr]
    assert len(rows) > 40
    assert not any(gc.is_tracked(row) for row in rows)
