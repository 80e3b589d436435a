"""The watch display, by a scripted run: what the state makes of events, and what stands on the screen."""

import dataclasses
import io
import time
from collections.abc import Iterable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from service import display, screen
from service.lines import MASK, canvas_line, plain, round_line, summary_lines, visible
from service.screen import Screen
from service.watch import CanvasView, Cell, Region, WatchState
from tests import members
from tests.service import story
from tie_core import Ensemble, zoo
from tie_core.errors import MemberError, TieError
from tie_core.events import CanvasInfo, Event, Failed, ModelInfo, Placed, RelayInfo, RoundEnded, StepTaken

SIZES = [(60, 20), (80, 24), (120, 40), (200, 50)]


def watched(events: list[Event]) -> WatchState:
    state = WatchState(story.PROMPT)
    for event in events:
        state.apply(event)
    return state


def drawn(state: WatchState, width: int = 100, height: int = 40) -> str:
    console = Console(file=io.StringIO(), record=True, width=width, height=height, color_system=None)
    console.print(Screen(state))
    return console.export_text()


def text_of(region: Region) -> str:
    return "".join(cell.text if cell is not None else MASK for cell in region.cells)


def until(events: list[Event], kind: type[Event], count: int) -> list[Event]:
    """The events up to the `count`th of a kind, itself included."""
    ends = [index for index, event in enumerate(events) if isinstance(event, kind)]
    return events[: ends[count - 1] + 1]


def line(view: CanvasView, number: int) -> str:
    return "".join(cell.text for cell in view.reasoning.cells[8 * (number - 1) : 8 * number] if cell is not None)


def test_a_step_shows_on_the_canvas_of_the_member_that_made_it() -> None:
    state = watched([story.created(), story.step("digit", 1, 1, "=", 41, ended=0)])

    assert text_of(state.views["digit"].reasoning) == MASK + "=" + MASK * 22
    assert text_of(state.views["pair"].reasoning) == MASK * 24
    assert [cell.text for cell in state.views["digit"].fresh] == ["="]


def test_a_round_is_assessed_before_it_is_relayed() -> None:
    state = watched(until(story.events(), RoundEnded, 1))

    assert state.verdict is not None
    assert line(state.views["digit"], 1) == " rev=951431"
    assert "".join(cell.text for cell in state.views["digit"].rejected) == "31"

    state.relay()

    assert state.verdict is None
    assert line(state.views["digit"], 1) == " rev=951413"
    assert state.views["digit"].rejected == ()


def test_the_next_event_relays_what_nobody_relayed() -> None:
    events = until(story.events(), RoundEnded, 1)

    state = watched([*events, story.step("pair", 1, 8, " ", 33, ended=1)])

    assert line(state.views["digit"], 1) == " rev=951413"


def test_relayed_tokens_keep_their_writer() -> None:
    state = watched(story.events())

    for view in state.views.values():
        writers = [{cell.writer for cell in view.reasoning.cells[start : start + 8] if cell} for start in (0, 8, 16)]
        assert writers == [{"pair"}, {"digit"}, {"digit"}]


def test_a_member_that_overflowed_keeps_its_own_canvas() -> None:
    ended = dataclasses.replace(story.rounds()[0], relayed=(RelayInfo("digit", "overflow", 0, (), ()),))
    state = watched([story.created(), *story.line_steps(0), ended])

    state.relay()

    assert line(state.views["digit"], 1) == " rev=951431"
    assert "keeps its own" in drawn(state)


def test_rounds_alone_are_enough_to_follow_the_leader() -> None:
    state = watched([story.created(), *story.rounds()])

    assert text_of(state.views["digit"].reasoning) == " rev=951413 inc=382939 add=696976"
    assert state.views["digit"].masked_left == 18


def test_what_a_round_unsets_is_masked_again() -> None:
    first, second, _ = story.rounds()
    second = dataclasses.replace(second, unset=tuple(range(5, 8)), set=())

    state = watched([story.created(), first, second])

    assert text_of(state.views["digit"].reasoning) == " rev=" + MASK * 19


def test_a_relayed_canvas_is_in_the_receivers_own_tokens() -> None:
    """Eight digits of the answer are four pairs: blocks are counted from the receiver's fifth answer position."""
    events = until(story.events(), RoundEnded, 3)
    answer = tuple((26 + index, digit, 0.9) for index, digit in enumerate(story.ANSWER[:8]))
    pairs = [Placed(26 + index, text, None) for index, text in enumerate(("95", "14", "13", "38"))]
    ended = dataclasses.replace(story.round_ended(4, "digit", answer, relayed=pairs), masked_left=10)

    state = watched([*events, ended, story.step("pair", 1, 30, "29", 13, ended=4)])

    pair = state.views["pair"]
    assert [cell.text for cell in pair.answer.cells if cell] == ["95", "14", "13", "38", "29"]
    assert [cell.writer for cell in pair.answer.cells if cell] == [*["digit"] * 4, "pair"]
    assert pair.active_block == ("answer", range(4, 12))
    assert state.views["digit"].active_block == ("answer", range(8, 16))


def test_writers_are_known_behind_a_character_that_others_cut_in_two() -> None:
    state = watched(story.half_characters())
    state.relay()

    digit, pair = state.views["digit"].reasoning.committed, state.views["pair"].reasoning.committed
    assert [(cell.text, cell.writer) for cell in digit] == [
        ("é", "digit"),
        ("1", "digit"),
        ("2", "digit"),
        ("3", "pair"),
    ]
    assert [cell.text for cell in pair] == ["\ufffd", "\ufffd", "1", "2", "3"]
    assert [cell.writer for cell in pair] == [*["digit"] * 4, "pair"]


ZOO_PAIR = Ensemble("tie", members.zoo()[:2], zoo.DEFAULTS, zoo.POLICY_DEFAULTS)
"""One of them writes pairs of digits, the other single ones."""
SHEET = [{"role": "user", "content": "dec 314159; rev 271828"}]


def test_before_every_step_a_canvas_has_as_many_masks_as_the_step_says() -> None:
    state, num_steps = WatchState(), 0
    for event in ZOO_PAIR.generate(SHEET, detail="step"):
        state.relay()
        if isinstance(event, StepTaken):
            view, num_steps = state.views[event.model], num_steps + 1
            masks = (view.reasoning.cells + view.answer.cells).count(None)
            assert masks == view.masked_left == event.masked_left + len(event.set)
        state.apply(event)

    assert any(relay.result == "transcoded" for ended in state.rounds for relay in ended.relayed)
    assert num_steps > 0


def test_rounds_alone_tell_the_canvases_that_steps_tell() -> None:
    def after_relays(events: Iterable[Event]) -> list[list[list[str | None]]]:
        state, pictures = WatchState(), []
        for event in events:
            state.apply(event)
            if isinstance(event, RoundEnded):
                state.relay()
                cells = [view.reasoning.cells + view.answer.cells for view in state.views.values()]
                pictures.append([[cell and cell.text for cell in of_member] for of_member in cells])
        return pictures

    told, alone = (after_relays(ZOO_PAIR.generate(SHEET, detail=detail)) for detail in ("step", "round"))

    assert len(alone) > 3
    assert told == alone
    assert alone[-1][0] != alone[-1][1]  # each in its own tokens


def test_a_relay_that_completes_a_member_leaves_it_no_masks() -> None:
    state = watched([story.created(), *story.rounds(), story.completing_round()])
    state.relay()

    digit, pair = state.views["digit"], state.views["pair"]
    assert [cell and cell.text for cell in digit.answer.cells] == [*story.ANSWER]
    assert text_of(digit.reasoning) == story.completed().reasoning
    assert (digit.masked_left, digit.active_block) == (0, ("answer", range(0)))
    assert text_of(pair.answer) == story.ANSWER + 6 * MASK


def test_what_a_relay_left_masked_between_tokens_stays_so() -> None:
    island = Placed(12, "7", None)
    relayed = (*story.kept_line("digit", 0), island)
    ended = story.round_ended(1, "pair", story.placed_line("pair", 0), relayed=relayed)

    state = watched([story.created(), ended])
    state.relay()

    assert text_of(state.views["digit"].reasoning) == " rev=951413" + 4 * MASK + "7" + 11 * MASK
    assert state.views["digit"].masked_left == 33
    assert state.views["digit"].active_block == ("reasoning", range(8, 16))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_frame_fits_the_terminal(width: int, height: int) -> None:
    state = WatchState(story.PROMPT)
    for event in story.events():
        state.apply(event)
        for _ in range(2):
            lines = drawn(state, width, height).splitlines()
            assert len(lines) < height
            assert max(map(len, lines)) <= width
            state.relay()


def test_a_long_canvas_is_shown_around_its_active_block() -> None:
    shape = CanvasInfo(1026, 16, 1000, 2, 24)
    words = tuple((position, f"w{position}", 0.9) for position in range(500))
    created = dataclasses.replace(story.created(), canvas=shape)
    step = dataclasses.replace(story.step("digit", 1, 0, "x", 524, ended=0), set=words)

    frame = drawn(watched([created, step]), 80, 24)

    assert "w499" in frame
    assert "more above" in frame
    assert "more below" in frame
    assert len(frame.splitlines()) < 24


def test_a_member_has_the_colour_of_its_index() -> None:
    created = story.created()
    state = watched([dataclasses.replace(created, models=created.models[1:])])
    console = Console(file=io.StringIO(), width=100, height=40, color_system="standard", force_terminal=True)

    console.print(Screen(state))

    magenta = "\x1b[35m"
    assert magenta + created.models[1].id in console.file.getvalue()  # type: ignore[attr-defined]


def crowd(num_members: int, reasoning: int) -> WatchState:
    """Members with a long canvas, half of it written, in one of many rounds."""
    names = [f"member-{number}" for number in range(num_members)]
    models = tuple(ModelInfo(name, "zoo", name, index) for index, name in enumerate(names))
    created = dataclasses.replace(
        story.created(), models=models, canvas=CanvasInfo(reasoning + 48, 32, reasoning, 2, 46)
    )
    state = watched([created])
    words = tuple((position, f" w{position}東", 0.9) for position in range(reasoning // 2))
    for name in names:
        state.apply(dataclasses.replace(story.step(name, 1, 0, "x", reasoning // 2 + 46, ended=0), set=words))
    return state


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_four_long_canvases_with_wide_characters_fit_the_terminal(width: int, height: int) -> None:
    lines = drawn(crowd(4, 976), width, height).splitlines()

    assert len(lines) < height
    assert max(map(cell_len, lines)) <= width
    assert sum("would answer" in line for line in lines) == (4 if width < 72 else 2 if width < 144 else 1)
    assert any("w480東" in line for line in lines)  # where decoding is


def test_a_frame_costs_what_is_seen_of_the_canvases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A canvas of 8,000 tokens no more than one of 1,000: what is off the screen is not drawn."""
    counts = []
    for reasoning in (960, 7_680):
        state, made = crowd(4, reasoning), []
        monkeypatch.setattr(screen, "visible", lambda text, made=made: made.append(text) or visible(text))
        drawn(state, 80, 24)
        counts.append(len(made))

    assert max(counts) < 1_000


def test_cells_are_told_apart_by_identity() -> None:
    """Finding the first mask compares every cell with None, which has to be cheap."""
    assert Cell("a", 0.5, "digit") != Cell("a", 0.5, "digit")


@pytest.mark.parametrize("width", [80, 120])
def test_the_running_frame_tells_prompt_masks_and_guess(width: int) -> None:
    frame = drawn(watched(until(story.events(), StepTaken, 10)), width)

    assert story.PROMPT in frame
    assert frame.count("37 masked") == 2
    assert "would answer 95141338293" in frame
    assert "round 1 · step 5" in frame


def test_panels_are_side_by_side_or_stacked() -> None:
    state = watched([story.created()])

    assert [drawn(state, width).count("Answer:") for width in (60, 80)] == [2, 2]
    assert max(row.count("Answer:") for row in drawn(state, 60).splitlines()) == 1
    assert max(row.count("Answer:") for row in drawn(state, 80).splitlines()) == 2


def test_a_relay_is_a_moment_on_screen() -> None:
    state = watched(until(story.events(), RoundEnded, 2))

    assert "digit leads round 2" in drawn(state)
    assert "digit has the more reliable trajectory" in drawn(state)
    state.relay()
    assert "pair ⇐ digit (transcoded)" in drawn(state)


def test_the_rounds_list_scores_leaders_and_switches() -> None:
    rows = drawn(watched(until(story.events(), StepTaken, 50)), 80).splitlines()

    second = next(row for row in rows if "★" in row and "switch" in row)
    assert second.split()[:3] == ["2", "★", "-0.125"]
    assert "⇒ pair transcoded" in second
    assert any(row.rstrip().endswith("leaders ■■■") for row in rows)


def test_the_last_frame_has_answer_rounds_wins_forwards_and_time() -> None:
    frame = drawn(watched(story.events()), 120)

    assert "digit gives the answer" in frame
    assert "pair ends with 951413382939696975" in frame
    assert "from digit by lowest_tcc · 3 rounds, 1 switched · led: digit 2, pair 1" in frame
    assert "84 forwards · 0.71 s" in frame


def test_a_complete_canvas_shows_its_answer_and_no_block() -> None:
    frame = drawn(watched(story.events()), 60, 22)

    assert "▸" not in frame
    assert frame.count(story.ANSWER[:6]) > 4  # each canvas and each guess, the answer, and who else ends how


def test_the_limits_of_each_members_own_tokens_are_drawn() -> None:
    row = next(row for row in drawn(watched(story.events()), 120).splitlines() if "9│5" in row)

    assert "␣rev│=│9│5│1│4│1│3│" in row
    assert "␣│r│e│v│=│95│14│13│" in row


def test_only_who_has_an_answer_is_called_complete() -> None:
    done = story.completed()
    done = dataclasses.replace(done, tie=dataclasses.replace(done.tie, candidates={"digit": story.ANSWER}))

    frame = drawn(watched([story.created(), *story.rounds(), done]), 120)

    assert frame.count("complete: its last tokens were not told") == 1


def test_a_failure_is_told() -> None:
    state = watched([story.created(), Failed(MemberError("model pair gave\x1b[2J logits that are not finite"))])

    assert "failed: model pair gave␛[2J logits that are not finite" in drawn(state)


EVIL = "[bold red]\x1b]0;owned\x07\x1b[2J\n\r\t\x00\x7f\x9b\u202e\u2028[/]"


def test_text_of_models_is_never_markup_nor_control() -> None:
    step = story.step("digit", 1, 0, EVIL, 41, ended=0)
    probe = dataclasses.replace(step.answer_probe, text=EVIL)
    done = dataclasses.replace(story.completed(EVIL), text=EVIL)
    state = watched([story.created(), dataclasses.replace(step, answer_probe=probe), done])
    state.prompt = EVIL
    console = Console(file=io.StringIO(), width=200, height=50, color_system=None, force_terminal=True)

    console.print(Screen(state))

    frame = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold red]␛]0;owned␇␛[2J↵␍␉␀␡" in frame
    assert not set(frame) & set("\x07\r\t\x00\x7f\x9b\u202e\u2028")
    assert "\x1b[2J" not in frame
    assert "\x1b]" not in frame


def test_visible_keeps_letters_of_all_scripts() -> None:
    assert visible("naïve 東京 🙂 e\u0301") == "naïve 東京 🙂 e\u0301"
    assert plain("one\ntwo\x1b") == "one\ntwo␛"


def test_a_round_is_one_plain_line() -> None:
    assert round_line(story.rounds()[1]) == (
        "round 2: digit -0.125 (0.91)  pair -0.500 (0.72)  ->  digit leads (switch), relayed: pair transcoded"
    )


def test_a_canvas_is_one_plain_line() -> None:
    state = watched(until(story.events(), RoundEnded, 2))

    assert canvas_line(state, "digit") == "rev=951413 inc=382939" + MASK * 8 + " Answer:" + MASK * 18


def test_the_summary_names_the_approximations() -> None:
    exact = story.completed()
    tie = dataclasses.replace(exact.tie, approximations=("early_commit", "fill_end"))

    approximate = dataclasses.replace(exact, tie=tie)

    assert summary_lines(approximate)[-1].endswith(" · approximated: early_commit, fill_end")
    assert "approximated" not in "".join(summary_lines(exact))


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, "it wavered least about it in the whole run (token change count: digit 0.250, pair 1.500)"),
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
        ({"candidates": {"digit": "1"}, "wins": {"digit": 3}}, "it was the only one asked"),
        ({"partial": True}, "it led last, and then the deadline came"),
    ],
)
def test_the_summary_says_whose_answer_it_is_and_why(facts: dict[str, Any], why: str) -> None:
    completed = story.completed()

    told = dataclasses.replace(completed, tie=dataclasses.replace(completed.tie, **facts))

    assert summary_lines(told)[0] == f"digit gives the answer: {why}"


def test_outside_a_terminal_a_run_is_told_in_lines() -> None:
    output = io.StringIO()

    completed = display.tell(story.events(), story.PROMPT, Console(file=output, width=80))

    lines = output.getvalue().splitlines()
    assert lines[0] == "tie: digit, pair"
    assert sum(told.startswith("round ") for told in lines) == 3
    assert f"answer: {story.ANSWER}" in lines
    assert completed.answer == story.ANSWER
    assert "\x1b" not in output.getvalue()


def test_the_live_display_ends_with_the_answer_and_keeps_the_pace() -> None:
    output = io.StringIO()
    console = Console(file=output, width=100, height=40, force_terminal=True, color_system=None)
    started = time.monotonic()

    completed = display.watch(story.events(), story.PROMPT, console, pace=0.002)

    assert time.monotonic() - started > 0.002 * (42 + 3 * 2 * display.HOLD)
    assert "digit gives the answer" in output.getvalue()
    assert completed.answer == story.ANSWER


@pytest.mark.parametrize("events", [[], [story.created()]], ids=["nothing", "no end"])
def test_a_run_without_an_end_is_an_error(events: list[Event]) -> None:
    with pytest.raises(TieError, match="without an answer"):
        display.tell_rounds(events, None)


def test_a_failed_run_raises_what_failed() -> None:
    failed = Failed(MemberError("model pair failed"))

    with pytest.raises(MemberError, match="model pair failed"):
        display.tell_rounds([story.created(), failed], None)
