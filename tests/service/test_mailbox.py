"""The mailbox: numbered without gaps, merged when nobody reads, rounds and the end always kept."""

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.mailbox import Delivered, Mailbox
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


def play(
    detail: str, max_pending: int, reads_after: Callable[[int], int], merged: list[int] | None = None
) -> list[Delivered]:
    """Put the story in; after the n-th entry the reader takes up to `reads_after(n)` events, at the end all."""
    request, story = STORY[detail]

    async def run() -> list[Delivered]:
        mailbox = Mailbox(request, max_pending, (merged if merged is not None else []).append)
        delivered: list[Delivered] = []
        for index, entry in enumerate(story):
            if isinstance(entry, Round):
                mailbox.put_canvases(entry.canvases)
                continue
            mailbox.put(entry)
            for _ in range(min(reads_after(index), mailbox.num_pending)):
                delivered.append(await mailbox.get())
        while not delivered[-1:] or not delivered[-1].is_last:
            delivered.append(await mailbox.get())
        return delivered

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


def test_a_reader_that_sleeps_gets_one_snapshot_for_all_steps() -> None:
    merged: list[int] = []

    delivered = play("step", 4, lambda index: 0, merged)

    check_story(delivered, "step")
    assert sum(merged) == sum(event.data.get("skipped", 0) for event in delivered) > 50
    assert len([event for event in delivered if event.type in ("tie.step", "tie.snapshot", "tie.answer")]) <= 4
    assert answers_shown(delivered) == delivered[-1].data["tie"]["candidates"]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(0, 6), min_size=1, max_size=30), st.sampled_from(["step", "snapshot"]))
def test_whatever_the_readers_pace_the_sums_and_the_last_state_agree(
    max_pending: int, reads: list[int], detail: str
) -> None:
    delivered = play(detail, max_pending, lambda index: reads[index % len(reads)])

    check_story(delivered, detail)
    last_round = max(event.seq for event in delivered if event.type == "tie.round")
    if any(event.type == "tie.snapshot" and event.seq > last_round for event in delivered):
        assert answers_shown(delivered) == delivered[-1].data["tie"]["candidates"]


def test_what_is_pending_stays_bounded() -> None:
    request, story = STORY["step"]
    events = [entry for entry in story if not isinstance(entry, Round)]

    async def run() -> int:
        mailbox = Mailbox(request, 16, lambda num_merged: None)
        most = 0
        for _ in range(50):
            for event in events[2:-1]:
                mailbox.put(event)
                most = max(most, mailbox.num_pending)
        return most

    num_rounds = sum(isinstance(event, RoundEnded) for event in events)
    assert asyncio.run(run()) <= 16 + 50 * num_rounds


def test_a_writer_in_another_thread_wakes_the_reader() -> None:
    request, story = STORY["step"]

    async def run() -> list[Delivered]:
        mailbox = Mailbox(request, 256, lambda num_merged: None)
        writer = threading.Thread(target=lambda: [mailbox.put(e) for e in story if not isinstance(e, Round)])
        writer.start()
        delivered = [await mailbox.get()]
        while not delivered[-1].is_last:
            delivered.append(await mailbox.get())
        writer.join()
        return delivered

    check_story(asyncio.run(run()), "step")


def test_a_failure_is_told_in_the_one_error_shape() -> None:
    request, _ = STORY["step"]

    async def run() -> dict[str, Any]:
        mailbox = Mailbox(request, 16, lambda num_merged: None)
        mailbox.put(Failed(MemberError("0x7ffe")))
        return (await mailbox.get()).data

    data = asyncio.run(run())
    assert set(data["error"]) == {"message", "type", "param", "code"}
    assert (data["type"], data["seq"], data["retryable"]) == ("tie.error", 1, True)
    assert "0x7ffe" not in str(data)
