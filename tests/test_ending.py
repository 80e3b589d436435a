"""Stop strings and token limits cut the text; what is told before the end always begins what is told last."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.members import zoo
from tests.vocabularies import load
from tie_core import zoo as the_zoo
from tie_core.canvas import Layout, blank_canvas
from tie_core.ending import MAX_STOP_CHARS, Ending, Parts, make_ending
from tie_core.ensemble import Ensemble
from tie_core.errors import OptionsError
from tie_core.told import finish_reason_of
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

VOCABULARY = load("zoo-dream")
(ITEM,) = make_items(VALIDATION_SEED, 1)
TEXTS = (" rev=951413 inc=382939", " Answer:", "951413382939")


def tokens(*texts: str) -> list[tuple[int, ...]]:
    return [VOCABULARY.encode(text) for text in texts]


def test_without_anything_asked_the_text_is_whole() -> None:
    assert Ending().of(tokens(*TEXTS), VOCABULARY) == (Parts(*TEXTS), False)


@pytest.mark.parametrize(
    ("stop", "parts"),
    [
        ("=9", Parts(" rev", "", "")),
        ("Answer", Parts(TEXTS[0], " ", "")),
        (":95", Parts(TEXTS[0], " Answer", "")),
        ("382939", Parts(" rev=951413 inc=", "", "")),
        ("413382", Parts(TEXTS[0], TEXTS[1], "951")),
    ],
)
def test_a_stop_string_cuts_where_it_begins(stop: str, parts: Parts) -> None:
    assert make_ending(stop).of(tokens(*TEXTS), VOCABULARY) == (parts, True)


def test_the_first_of_several_stops_counts() -> None:
    parts, _ = make_ending(["Answer", "382", "inc"]).of(tokens(*TEXTS), VOCABULARY)

    assert parts.text == " rev=951413 "


def test_so_many_tokens_with_text_are_told() -> None:
    parts, is_stopped = make_ending(max_tokens=11).of(tokens(*TEXTS), VOCABULARY)

    assert sum(map(len, tokens(parts.text))) == 11
    assert "".join(TEXTS).startswith(parts.text)
    assert not is_stopped


@pytest.mark.parametrize(
    ("stop", "text", "safe"),
    [
        (("END",), "abE", "ab"),
        (("END",), "abEN", "ab"),
        (("END",), "abEX", "abEX"),
        (("END",), "abENDxyz", "ab"),
        (("aab",), "aaaa", "aa"),
        (("bc", "abcd"), "xabc", "x"),  # `bc` is whole, but `abcd` may begin before it
        (("bc", "abcd"), "xabcx", "xa"),
        ((), "abc", "abc"),
    ],
)
def test_what_may_become_a_stop_string_is_held_back(stop: tuple[str, ...], text: str, safe: str) -> None:
    assert Ending(stop).safe(text) == safe


def test_under_a_limit_no_more_is_told_than_so_many_tokens_surely_hold() -> None:
    assert Ending(max_tokens=4).safe("a\u00e9\u20acb") == "a\u00e9"


@pytest.mark.parametrize("stop", [["a"] * 5, [""], "", ["x" * (MAX_STOP_CHARS + 1)]])
def test_stops_that_cannot_be_are_refused(stop: str | list[str]) -> None:
    with pytest.raises(OptionsError, match="up to 4 strings") as refused:
        make_ending(stop)

    assert refused.value.param == "stop"


@pytest.mark.parametrize(
    ("max_tokens", "length", "is_cut"), [(1, 44, True), (40, 44, True), (44, 44, False), (4096, 44, False)]
)
def test_a_limit_never_changes_regions_that_the_defaults_fix(max_tokens: int, length: int, is_cut: bool) -> None:
    ensemble = Ensemble("zoo", zoo(), the_zoo.DEFAULTS)

    request = ensemble.request(prompt=ITEM.prompt, max_tokens=max_tokens)

    assert max(canvas.layout.length for canvas in request.canvases) == length
    assert (request.options.reasoning, request.options.answer) == (24, 18)
    assert (request.ending.max_tokens is not None) == is_cut


@pytest.mark.parametrize(("max_tokens", "length", "is_cut"), [(100, 112, False), (5, 128, True), (64, 64, False)])
def test_elsewhere_a_limit_is_the_canvas_rounded_up_to_a_block(max_tokens: int, length: int, is_cut: bool) -> None:
    request = Ensemble("zoo", zoo()).request(prompt="x", max_tokens=max_tokens)

    assert max(canvas.layout.length for canvas in request.canvases) == length
    assert (request.ending.max_tokens is not None) == is_cut


def test_a_cut_answer_says_so_and_counts_what_was_told() -> None:
    completed = Ensemble("zoo", zoo(), the_zoo.DEFAULTS).answer(ITEM.prompt, max_tokens=8)

    assert completed.finish_reason == "length"
    assert completed.usage.completion_tokens == 8
    assert ITEM.reasoning.startswith(completed.text)


@pytest.mark.parametrize(("limit", "reason"), [(None, "stop"), (30, "stop"), (2, "stop"), (1, "length")])
def test_a_limit_ends_the_text_only_where_it_leaves_some_out(limit: int | None, reason: str) -> None:
    vocabulary = load("zoo-llada")
    eos = vocabulary.eos_id
    blank = blank_canvas((), (), Layout(24, 0, 8, 8, vocabulary.mask_id, eos))
    ids = (*vocabulary.encode("12"), *[eos] * 23, *vocabulary.encode("7"), *[eos] * 7)
    canvas = blank.with_generated(ids, 0)
    member: Any = SimpleNamespace(vocabulary=vocabulary)

    assert finish_reason_of(member, canvas, Ending((), limit), is_stopped=False) == reason
