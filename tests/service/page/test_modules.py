"""The page's modules one by one, in the browser: the reducer, the stream, the words."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.client import event_of
from service.lines import reason_line, visible
from service.watch import REGIONS, CanvasView, WatchState
from tests.service import story
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.page.conftest import Open
from tests.service.page.playground import Playground
from tests.service.served import PROMPT, Served, serving
from tie_core.events import Event, RoundEnded, event_data

ROOT = Path(__file__).resolve().parents[3]
CELLS_OF = """async (events) => {
    const { START, reduce } = await load("reduce");
    const { activeBlock } = await load("canvas");
    let state = START;
    return events.map((event) => {
        state = reduce(state, event);
        return state.views.map(({ canvas }) => {
            const block = activeBlock(canvas);
            return {
                cells: ["reasoning", "answer"].map((name) =>
                    canvas[name].cells.map((cell) => cell && [cell.text, cell.confidence, cell.writer])),
                masked: canvas.maskedLeft,
                active: block && [block.name, block.start, block.stop],
            };
        });
    });
}"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


@pytest.fixture
def page(served: Served, open_page: Open) -> Playground:
    return open_page(served.url).ready()


def wire(events: list[Event]) -> list[dict[str, Any]]:
    """Events as the server would send them."""
    return [
        json.loads(json.dumps({"type": event.type, "seq": number, "t_ms": 0.0, **event_data(event)}))
        for number, event in enumerate(events, 1)
    ]


def watched(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What the terminal's watch view has of every canvas after each event."""
    state, pictures = WatchState(), []
    for data in events:
        event = event_of(data)
        if event is not None:
            state.apply(event)
            state.relay()
        pictures.append([_canvas(view) for view in state.views.values()])
    return pictures


def _canvas(view: CanvasView) -> dict[str, Any]:
    name, block = view.active_block
    cells = [
        [cell and [cell.text, cell.confidence, cell.writer or None] for cell in view.region(region).cells]
        for region in REGIONS
    ]
    active = [name, block.start, block.stop] if block else None
    return {"cells": cells, "masked": view.masked_left, "active": active}


@pytest.mark.parametrize("options", [{}, {"tie": {"score": "top1", "interval": 4}}, {"unmasking": {"k": 3}}])
def test_the_page_and_the_terminal_see_the_same_canvases(
    served: Served, page: Playground, options: dict[str, Any]
) -> None:
    events = served.events({"prompt": PROMPT, "events": "step", **options})

    assert page.evaluate(CELLS_OF, events) == watched(events)


def test_the_page_and_the_terminal_see_the_same_story(page: Playground) -> None:
    """With a member that overflowed, rounds whose steps nobody told, and a relay that completes a member."""
    events = story.events()
    first = next(index for index, event in enumerate(events) if isinstance(event, RoundEnded))
    relayed = tuple(dataclasses.replace(relay, result="overflow") for relay in events[first].relayed)
    overflowed = [*events[:first], dataclasses.replace(events[first], relayed=relayed), *events[first + 1 :]]

    by_rounds = [story.created(), *story.rounds()]
    completed = [story.created(), *story.rounds(), story.completing_round(), story.completed()]
    for told in (events, overflowed, by_rounds, completed, story.half_characters()):
        assert page.evaluate(CELLS_OF, wire(told)) == watched(wire(told))


def test_confidence_stands_where_only_end_tokens_are_left_to_write(page: Playground) -> None:
    recorded = ROOT / "docs" / "pictures" / "run.ndjson"
    events = [json.loads(line) for line in recorded.read_text(encoding="utf-8").splitlines()]
    num_rounds = events[-1]["tie"]["rounds"]
    behind_the_rounds = [event["answer_probe"] for event in events if event.get("round", 0) > num_rounds]
    for probe in behind_the_rounds:
        probe["top1"] = 0.0  # as is told where no answer token is left to write
    script = """async (events) => {
        const { START, reduce } = await load("reduce");
        return events.reduce(reduce, START).views.map((view) => view.history.map((point) => point.confidence));
    }"""

    shown = page.evaluate(script, events)

    assert behind_the_rounds
    assert all(confidence > 0 for of_member in shown for confidence in of_member)


def test_reducing_changes_no_state_and_no_event(page: Playground) -> None:
    events = wire(story.events())
    script = """async (events) => {
        const { START, reduce } = await load("reduce");
        const frozen = (value) => {
            if (value && typeof value === "object" && !Object.isFrozen(value)) {
                Object.freeze(value);
                Object.values(value).forEach(frozen);
            }
            return value;
        };
        let state = START;
        for (const event of events) state = frozen(reduce(state, frozen(event)));
        return state.phase;
    }"""

    assert page.evaluate(script, events) == "completed"


def test_any_step_of_a_log_is_what_reducing_to_it_gives(served: Served, page: Playground) -> None:
    events = served.events({"prompt": PROMPT, "events": "step"})
    script = """async (events) => {
        const { EventLog } = await load("log");
        const { START, reduce } = await load("reduce");
        const log = new EventLog();
        for (const event of events) log.append(event);
        const same = (count) => JSON.stringify(log.stateAt(count))
            === JSON.stringify(events.slice(0, count).reduce((state, event) => reduce(state, event), START));
        return [...events.keys(), events.length].filter((count) => !same(count));
    }"""

    assert len(events) > 64
    assert page.evaluate(script, events) == []


def test_a_snapshot_replaces_all_canvases_and_keeps_the_writers_it_can_know(page: Playground) -> None:
    told = wire([story.created(), *story.rounds()[:1]])
    tokens = [*" rev=951", *[None] * 16, None, None, *[None] * 18]
    snapshot = {
        "type": "tie.snapshot",
        "seq": 9,
        "skipped": 6,
        "round": 2,
        "models": {"digit": {"tokens": tokens}, "pair": {"tokens": [None] * 44}},
    }

    digit, pair = page.evaluate(CELLS_OF, [*told, snapshot])[-1]
    digit, pair = digit["cells"], pair["cells"]

    assert [cell and cell[0] for cell in digit[0]] == tokens[:24]
    assert {cell[2] for cell in digit[0] if cell} == {"pair"}
    assert pair == [[None] * 24, [None] * 18]


def test_unknown_events_and_fields_are_ignored(page: Playground) -> None:
    events = wire(story.events())
    more = [each for event in events for each in ({**event, "new_field": [1]}, {"type": "tie.new", "seq": 0})]

    assert page.evaluate(CELLS_OF, more)[-1] == page.evaluate(CELLS_OF, events)[-1]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_server_sent_events_are_read_however_they_are_cut(page: Playground, size: int, newline: str) -> None:
    text = ': ping\n\nid: 1\nevent: tie.step\ndata: {"a": "ü✓"}\n\ndata: one\ndata:two\n\n: end\n\nid: 3\n\ndata: lost'
    script = """async ([bytes, size]) => {
        const { serverSentEvents } = await load("sse");
        const parts = [];
        for (let at = 0; at < bytes.length; at += size) parts.push(new Uint8Array(bytes.slice(at, at + size)));
        const body = new ReadableStream({ pull(sink) {
            if (parts.length) sink.enqueue(parts.shift());
            else sink.close();
        } });
        const all = [];
        for await (const { id, type, data } of serverSentEvents(body)) all.push([id, type, data]);
        return all;
    }"""

    read = page.evaluate(script, [list(text.replace("\n", newline).encode()), size])

    assert read == [["1", "tie.step", '{"a": "ü✓"}'], ["1", "message", "one\ntwo"]]


def test_every_code_of_the_documentation_has_its_advice(page: Playground) -> None:
    table = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8").split("## Errors")[1]
    rows = re.findall(r"^\| \d{3} \| ([^|]+) \|", table, re.MULTILINE)
    codes = {code for row in rows for code in re.findall(r"`(\w+)`", row)}

    advised = page.evaluate("async () => Object.keys((await load('advice')).ADVICE)")

    assert codes == set(advised) - {"unreachable"}


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, "it wavered least about it in the whole run (token change count: digit 0.250, pair 1.500)"),
        (
            {"scores": {"digit": 0.0, "pair": 0.0}},
            "it and pair wavered least in the whole run (token change count: digit 0.000, pair 0.000);"
            " of the two it was the surer, or the first of equals",
        ),
        (
            {"scores": {"digit": 0.0, "pair": 0.0, "third": 0.0, "last": 0.5}},
            "it, pair and third wavered least in the whole run"
            " (token change count: digit 0.000, pair 0.000, third 0.000, last 0.500);"
            " of these it was the surest, or the first of equals",
        ),
        (
            {"scores": {"digit": None, "pair": None}},
            "nobody's wavering could be counted (token change count: digit no evidence, pair no evidence);"
            " of the two it was the surer, or the first of equals",
        ),
        ({"final_rule": "most_selected"}, "it led the most rounds (digit 2, pair 1)"),
        (
            {"final_rule": "most_selected", "wins": {"digit": 1, "pair": 1}},
            "it and pair led the most rounds (digit 1, pair 1); of these it wavered least",
        ),
        ({"final_rule": "best_model"}, "it is named as the best model"),
        ({"candidates": {"digit": "1"}}, "it is the only one that was there to the end"),
        ({"partial": True}, "it led last, and then the deadline came"),
    ],
)
def test_the_page_and_the_terminal_say_why_an_answer_is_the_final_one(
    page: Playground, facts: dict[str, Any], why: str
) -> None:
    created, *_, completed = wire(story.events())
    completed["tie"].update(facts)
    script = "async ([models, completed]) => (await load('words')).reasonText({ models, completed })"

    assert page.evaluate(script, [created["models"], completed]) == why
    assert reason_line(dataclasses.replace(story.completed().tie, **facts)) == f"digit gives the answer: {why}"


@pytest.mark.parametrize(
    ("facts", "in_round", "words"),
    [
        (None, 4, "round 4, "),
        ({}, 3, "round 3, "),
        ({}, 4, "after round 3: "),
        ({"rounds": 0}, 1, ""),
        ({"partial": True}, 4, "round 4, "),
    ],
)
def test_a_moment_behind_the_last_round_is_in_none_once_that_is_known(
    page: Playground, facts: dict[str, Any] | None, in_round: int, words: str
) -> None:
    """At the deadline there was a round that did not end."""
    created, *_, completed = wire(story.events())
    completed["tie"].update(facts or {})
    step = {"type": "step", "round": in_round, "step": 1, "model": "digit"}
    snapshot = {"type": "snapshot", "round": in_round}
    script = """async ([models, moments, completed]) => {
        const { momentText } = await load("words");
        return moments.map((moment) => momentText({ phase: "running", models, moment }, completed));
    }"""

    told = page.evaluate(script, [created["models"], [step, snapshot], None if facts is None else completed])

    assert told == [f"{words}step 1 of A digit", f"{words}several steps at once"]


def test_control_characters_are_made_visible_as_in_the_terminal(page: Playground) -> None:
    text = "".join(map(chr, [*range(0xA0), 0xAD, 0x202E, 0x2028, 0xE000, 0xFFFF, 0x1F600])) + "plain ü"

    shown = page.evaluate("async (text) => (await load('words')).visible(text)", text)

    assert shown == visible(text)
