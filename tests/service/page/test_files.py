"""Runs from files in the playground: what is refused, what a file fills in, and an import beside a run."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route

from tests.service import story
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.page.conftest import Open
from tests.service.page.playground import Playground
from tests.service.served import PROMPT, Served, serving, wait_until
from tie_core.events import event_data

RECORDED = Path(__file__).parents[3] / "docs" / "pictures" / "run.ndjson"
ASKED = json.loads(RECORDED.read_text(encoding="utf-8").partition("\n")[0])["body"]["messages"][0]["content"]
EXAMPLE = "4 5 6"
HOLD_READING = """() => {
    const text = Blob.prototype.text;
    window.readings = [];
    Blob.prototype.text = async function () {
        await new Promise((resolve) => window.readings.push(resolve));
        return text.call(this);
    };
}"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


def recorded(change: Callable[[dict[str, Any]], None] = lambda event: None, asked: Any = None) -> str:
    """The recorded run, each of its events changed, behind a line with another request (None: with none)."""
    events = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()[1:]]
    for event in events:
        change(event)
    told = [] if asked is None else [{"type": "page.request", "body": asked}]
    return "".join(json.dumps(event) + "\n" for event in [*told, *events])


def message(content: str, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": content}


def shows(playground: Playground, asked: str) -> None:
    wait_until(lambda: playground.texts(".asked:not([hidden])") == [asked])
    assert not playground.page.is_visible("#problem")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        '{"type": "tie.started", "seq": 1}',
        '{"type": "tie.created", "seq": 1, "id": "x", "models": [], "canvas": {"reasoning": 1e12}}',
        '{"type": "tie.created", "seq": 1}',
        '["tie.created"]',
        "null",
    ],
)
def test_a_file_that_is_no_run_is_refused_in_words(served: Served, open_page: Open, tmp_path: Path, text: str) -> None:
    (tmp_path / "run.ndjson").write_text(text, encoding="utf-8")
    playground = open_page(served.url).ready()

    playground.load(tmp_path / "run.ndjson")
    playground.page.wait_for_selector("#problem", state="visible")

    assert playground.text("#problem-message").startswith("This file cannot be shown:")
    assert playground.page.is_visible("#welcome")


def test_scores_without_their_numbers_are_drawn_as_unknown(served: Served, open_page: Open, tmp_path: Path) -> None:
    def spoil(event: dict[str, Any]) -> None:
        if event["type"] == "tie.round" and event["round"] == 1:
            names = list(event["scores"])
            event.update(scores={names[0]: {}, names[1]: None}, tie_break="top1", leader=names[0])

    (tmp_path / "run.ndjson").write_text(recorded(spoil), encoding="utf-8")
    playground = open_page(served.url).ready()

    playground.load(tmp_path / "run.ndjson")
    playground.finished()

    assert playground.texts("#rounds tbody tr >> nth=0 >> td")[:2] == ["★ — (—)", "—"]
    assert not playground.page.is_visible("#problem")


def test_a_file_that_cannot_be_drawn_is_refused_and_leaves_what_was_there(
    served: Served, open_page: Open, tmp_path: Path
) -> None:
    def spoil(event: dict[str, Any]) -> None:
        if event["type"] == "tie.completed":
            del event["tie"]["wins"]

    (tmp_path / "run.ndjson").write_text(recorded(spoil, {"messages": [message(ASKED)]}), encoding="utf-8")
    playground = open_page(served.url).run(PROMPT).finished()
    page = playground.page

    def shown() -> list[Any]:
        words = [playground.text(f"#{part}") for part in ("answer", "moment", "options", "status", "writers")]
        return [
            page.get_attribute("#result", "data-run"),
            *words,
            playground.canvases(),
            playground.texts("#rounds tr"),
        ]

    page.focus("#position")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: playground.text("#moment").startswith("1 of "))
    before = shown()
    page.fill("#prompt", "")

    playground.load(tmp_path / "run.ndjson")
    page.wait_for_selector("#problem", state="visible")

    assert playground.text("#problem-message") == (
        "This file cannot be shown: an event in it lacks something that is to be drawn."
    )
    assert playground.text("#problem-advice") == "Nothing was changed."
    wait_until(lambda: shown() == before)
    assert page.input_value("#prompt") == ""
    playground.load(RECORDED)
    shows(playground, f"to {ASKED}")


@pytest.mark.parametrize("there", ["", " \n", EXAMPLE])
def test_a_file_fills_in_the_prompt_that_it_tells(served: Served, open_page: Open, tmp_path: Path, there: str) -> None:
    """Over nothing, over an example, and over what a file before it told."""
    first, second = "<b>1</b>\r\n" + "2" * 301, "another"
    playground = open_page(served.url).ready()
    playground.page.fill("#prompt", "")
    playground.run()
    playground.page.wait_for_selector("#field-problem")
    playground.page.fill("#prompt", there)

    for name, prompt in (("first", first), ("second", second)):
        (tmp_path / name).write_text(recorded(asked={"messages": [message(prompt)]}), encoding="utf-8")
        playground.load(tmp_path / name)
        wait_until(lambda prompt=prompt: playground.page.input_value("#prompt") == prompt.replace("\r\n", "\n"))
        if prompt == first:
            heard = "The prompt is now: <b>1</b>␍↵" + "2" * 290 + " …"
            wait_until(lambda heard=heard: playground.text("#announcements") == heard)

    assert playground.page.locator("#field-problem").count() == 0


def test_a_file_leaves_a_prompt_that_somebody_wrote(served: Served, open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "told.ndjson").write_text(recorded(asked={"messages": [message("told")]}), encoding="utf-8")
    playground = open_page(served.url).ready()

    for draft in ("my own", "told, and more"):
        playground.page.fill("#prompt", draft)
        playground.load(RECORDED)
        shows(playground, f"to {ASKED}")
        playground.load(tmp_path / "told.ndjson")
        shows(playground, "to told")
        assert playground.page.input_value("#prompt") == draft


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"prompt": "raw"}, "to raw"),
        ({"messages": [message("")]}, "to"),
        ({"messages": [message(" \n")]}, "to  ↵"),
        ({"messages": [message("first"), message("1", "assistant"), message("last")]}, "to last"),
        ({"messages": [message("be short", "system"), message("last")]}, "to last"),
        ({"messages": [message("1", "assistant")]}, "this file does not tell the prompt"),
        ({"messages": [None]}, "this file does not tell the prompt"),
        ({"messages": {"0": message("1")}}, "this file does not tell the prompt"),
        (None, "this file does not tell the prompt"),
    ],
)
def test_what_the_form_could_not_have_asked_is_named_and_not_filled_in(
    served: Served, open_page: Open, tmp_path: Path, asked: Any, words: str
) -> None:
    (tmp_path / "run.ndjson").write_text(recorded(asked=asked), encoding="utf-8")
    playground = open_page(served.url).ready()
    playground.page.fill("#prompt", EXAMPLE)

    playground.load(tmp_path / "run.ndjson")

    shows(playground, words)
    assert playground.page.input_value("#prompt") == EXAMPLE


def test_a_file_that_is_being_read_does_not_hide_a_run(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).ready()
    page = playground.page
    held: list[Route] = []
    page.route("**/v1/tie/generate", lambda route: held.append(route))
    page.evaluate(HOLD_READING)
    playground.load(RECORDED)
    playground.wait_for("readings.length === 1")
    assert page.is_enabled("#import")

    playground.run(PROMPT)
    wait_until(lambda: len(held) == 1)
    assert page.is_disabled("#import")
    page.evaluate("readings[0]()")
    page.wait_for_selector("#problem", state="visible")

    assert playground.text("#problem-message") == ("This file cannot be shown: a run was begun while it was read.")
    assert page.input_value("#file") == ""
    held[0].continue_()
    playground.finished()
    assert playground.text(".asked") == f"to {PROMPT}"
    assert page.is_enabled("#import")


def test_rounds_that_a_lost_member_led_do_not_count(served: Served, open_page: Open) -> None:
    completed = json.loads(json.dumps(event_data(story.completed())))
    completed["tie"].update(final_rule="most_selected", wins={"digit": 1, "pair": 0, "third": 5})
    models = [{"id": name} for name in completed["tie"]["wins"]]
    script = "async ([models, completed]) => (await load('words')).reasonText({ models, completed })"

    why = open_page(served.url).ready().evaluate(script, [models, completed])

    assert why == "of those that were there to the end, it led the most rounds (digit 1, pair 0)"
