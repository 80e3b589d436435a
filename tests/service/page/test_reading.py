"""The playground on a phone, in the dark, by keyboard and by screen reader."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.fakes import NAMES, FakeLoader, Faults, fake_settings
from tests.service.page.conftest import Open
from tests.service.page.crowd import CrowdLoader, crowd_settings
from tests.service.served import PROMPT, Served, serving

BACKGROUND = "getComputedStyle(document.body).backgroundColor"
TOP = "(selector) => document.querySelector(selector).getBoundingClientRect().top"
NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, [role=slider], [role=img]")]
    .filter((it) => !it.closest("[hidden]"))
    .filter((it) => !(it.labels?.length || it.getAttribute("aria-label") || it.textContent.trim()))
    .map((it) => it.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


def test_on_a_phone_nothing_is_wider_than_the_screen(served: Served, open_page: Open) -> None:
    playground = open_page(served.url, viewport={"width": 390, "height": 844})
    page = playground.ready().page
    assert page.is_hidden("[data-param='tie.score']")
    assert page.is_hidden("[data-param='cache']")
    for summary in page.locator("aside summary").all():
        summary.click()
    playground.run(PROMPT).finished()

    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert playground.page.evaluate("document.querySelector('#position').getBoundingClientRect().height") >= 24


def test_on_a_phone_the_row_heads_of_a_wide_table_stay_in_sight_and_leave_room(
    served: Served, open_page: Open, tmp_path: Path
) -> None:
    playground = open_page(served.url, viewport={"width": 390, "height": 844}).run(PROMPT).finished()
    renamed = playground.save(tmp_path / "run.ndjson")
    renamed.write_text(renamed.read_text().replace(NAMES[0], "DiffuCoder-7B-cpGRPO-instruct-int8-lora-2026-11"))
    playground.load(renamed)
    playground.wait_for("document.querySelector('#written th[scope=row]').innerText.includes('DiffuCoder')")

    for table in playground.page.locator(".wide-table").all():
        scrolled = table.evaluate("(it) => { it.scrollLeft = 9999; return it.scrollLeft; }")
        head = table.locator("tbody th").first.bounding_box()
        box = table.bounding_box()
        assert scrolled > 40
        assert abs(head["x"] - box["x"]) < 1  # type: ignore[index]
        assert head["width"] < box["width"] / 2  # type: ignore[index]


def test_on_a_phone_the_row_heads_of_a_wide_table_break_within_no_short_word(served: Served, open_page: Open) -> None:
    page = open_page(served.url, viewport={"width": 390, "height": 844}).run(PROMPT).finished().page

    for head in page.locator(".wide-table thead th:first-child").all():
        assert head.evaluate("(it) => it.clientHeight < 2.5 * parseFloat(getComputedStyle(it).fontSize)")


def test_on_a_phone_a_run_comes_into_view_and_nothing_stands_over_it(open_page: Open) -> None:
    faults = Faults()
    with serving(fake_settings(), FakeLoader(faults)) as served:
        faults.seconds = 0.02
        page = open_page(served.url, viewport={"width": 390, "height": 844}).ready().page
        assert page.locator("#server").bounding_box()["height"] < 24  # type: ignore[index]
        page.fill("#prompt", PROMPT)
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#strip li")
        faults.seconds = 0.5

        assert abs(page.evaluate(TOP, "#status") - 8) < 1
        assert 0 < page.evaluate(TOP, "#answer") < page.evaluate(TOP, ".member") < 844
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert page.evaluate(TOP, "#player") < 0
        assert 0 < page.evaluate(TOP, "#stop") < 844
        page.click("#stop")
        page.wait_for_selector("#problem", state="visible")


def test_on_a_phone_an_error_comes_into_view(served: Served, open_page: Open) -> None:
    page = open_page(served.url, faults=("ERR_",), viewport={"width": 390, "height": 500}).ready().page
    page.context.set_offline(True)
    page.evaluate("document.querySelector('#request').requestSubmit()")
    page.wait_for_selector("#problem", state="visible")

    assert 0 <= page.evaluate(TOP, "#problem") < 450


def test_three_canvases_stand_side_by_side_and_the_player_over_none(open_page: Open) -> None:
    with serving(crowd_settings(3, gen_length=64, answer=16), CrowdLoader()) as served:
        playground = open_page(served.url, viewport={"width": 1200, "height": 800}).run(PROMPT).finished()
        page = playground.page

        assert len({page.evaluate(TOP, f".member:nth-child({number})") for number in (1, 2, 3)}) == 1
        player, canvas = (page.locator(one).bounding_box() for one in ("#player", ".member >> nth=0"))
        assert player is not None
        assert canvas is not None
        assert player["y"] + player["height"] <= canvas["y"]
        page.focus("#strip button >> nth=0")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.keyboard.press("Shift+Tab")
        focused = page.evaluate("document.activeElement.getBoundingClientRect().top")
        assert focused >= page.evaluate(TOP, "#player") + player["height"]


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_is_the_systems_until_somebody_chooses(served: Served, open_page: Open, system: str) -> None:
    playground = open_page(served.url, color_scheme=system).ready()
    shown = [playground.page.evaluate(BACKGROUND)]
    for _ in range(3):
        playground.page.click("#theme")
        shown.append(playground.page.evaluate(BACKGROUND))

    light, dark = "rgb(251, 251, 250)", "rgb(20, 22, 26)"
    assert shown == [light if system == "light" else dark, light, dark, light if system == "light" else dark]
    playground.page.click("#theme")
    playground.page.reload()
    assert playground.page.evaluate(BACKGROUND) == light


def test_everything_has_a_name_and_a_place(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).run(PROMPT).finished()
    page = playground.page

    assert page.evaluate(NAMELESS) == []
    assert [page.locator(landmark).count() for landmark in ("header", "nav", "main", "h1")] == [1, 1, 1, 1]
    assert page.get_attribute("#announcements", "aria-live") == "polite"
    for index, name in enumerate(NAMES):
        member = page.locator(".member").nth(index)
        assert member.get_attribute("aria-labelledby") == f"member-{index}"
        assert name in member.locator("h3").inner_text()
        assert "last" in (member.locator("svg").first.get_attribute("aria-label") or "")
        assert member.locator(".spoken").text_content().startswith("canvas text: ")  # type: ignore[union-attr]


def test_the_keyboard_alone_runs_and_reads(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).ready()
    playground.page.focus("#prompt")
    playground.page.keyboard.press("Control+Enter")
    playground.finished()
    reached = set()
    for _ in range(60):
        playground.page.keyboard.press("Tab")
        reached.add(playground.page.evaluate("document.activeElement.id || document.activeElement.className"))

    assert {"run", "export", "import", "play", "position", "speed", "grid", "theme", "wide-table"} <= reached


def test_writers_differ_without_colour(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).run(PROMPT).finished()
    styles = playground.page.evaluate(
        "[...document.querySelectorAll('#writers .letter')].map((it) => getComputedStyle(it).borderBottomStyle)"
    )

    assert styles == ["solid", "dashed"]
    assert playground.texts("#writers li") == [f"{letter} {name}" for letter, name in zip("AB", NAMES, strict=True)]
