"""What rounds settle is the beginning of the final text, character for character, whatever else a request asks for."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.members import tiny, twin, zoo
from tests.vocabularies import load
from tie_core import zoo as the_zoo
from tie_core.canvas import Layout, blank_canvas
from tie_core.ending import NO_ENDING
from tie_core.ensemble import Ensemble
from tie_core.events import Completed, RoundEnded
from tie_core.settled import SettledText, committed_text
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

ITEMS = make_items(VALIDATION_SEED, 200)
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"score": "top1"},
    {"interval": 3, "relay_boundary": "step"},
    {"early_commit": True},
    {"policy": "threshold"},
    {"stop": ["=9", "Answer"]},
    {"stop": "95"},
    {"stop": [" Answer:1", " Answer:95"]},
    {"max_tokens": 13},
    {"max_tokens": 33, "stop": "4"},
    {"models": ["zoo-llada"]},
    {"models": ["zoo-dream"], "interval": 5},
    {"selection": "most_selected", "fill_end": True},
)


def told(events: list[Any]) -> tuple[str, Completed]:
    *_, completed = events
    assert isinstance(completed, Completed)
    return "".join(event.settled for event in events if isinstance(event, RoundEnded)), completed


def test_settled_text_begins_the_final_one_on_the_zoo(
    numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    ensemble = Ensemble("zoo", zoo(), the_zoo.DEFAULTS, the_zoo.POLICY_DEFAULTS)
    num_settled = num_told = 0

    num_items = numbers(13, 200)
    for index, item in enumerate(ITEMS[:num_items]):
        variant = VARIANTS[index % len(VARIANTS)]
        settled, completed = told(list(ensemble.generate(prompt=item.prompt, **variant)))
        assert completed.text.startswith(settled), (item, variant)
        num_settled, num_told = num_settled + len(settled), num_told + len(completed.text)

    figure(f"settled text: {num_items} zoo requests, {num_settled} of {num_told} characters told before the end")
    assert num_settled > num_told / 4


@pytest.mark.parametrize("names", [("llada-tiny", "dream-tiny"), ("llada-tiny", "llada-tiny-2")])
def test_settled_text_begins_the_final_one_on_random_models(
    names: tuple[str, str], numbers: Callable[[int, int], int]
) -> None:
    """Models of noise: half characters, strange bytes, end tokens anywhere."""
    members = [twin("llada-tiny") if name.endswith("-2") else tiny(name) for name in names]
    ensemble = Ensemble("tiny", members)
    rng = random.Random(4)
    for _ in range(numbers(6, 100)):
        options = {
            "reasoning": rng.choice((8, 24)),
            "answer": rng.choice((0, 4)),
            "block_size": 4,
            "interval": rng.choice((2, 4, 5)),
            "suffix": rng.choice(("", "Answer:")),
        }
        settled, completed = told(list(ensemble.generate(prompt=str(rng.random()), **options)))
        assert completed.text.startswith(settled), options


def test_text_that_members_do_not_share_is_not_settled() -> None:
    vocabularies = [load("zoo-llada"), load("zoo-dream")]
    canvases = []
    for vocabulary, text in zip(vocabularies, (" rev=12", " rev=34"), strict=True):
        layout = Layout(24, 0, 18, 8, vocabulary.mask_id, vocabulary.eos_id)
        canvas, ids = blank_canvas((), (), layout), vocabulary.encode(text)
        canvases.append(canvas.with_generated(ids + canvas.generated[len(ids) :], 0))

    settled = SettledText(vocabularies, NO_ENDING).advance(canvases)

    assert [committed_text(canvas, one) for canvas, one in zip(canvases, vocabularies, strict=True)] == [
        " rev=12",
        " rev=34",
    ]
    assert settled == " rev"  # the last character could be composed with the next one


@pytest.mark.parametrize("text", ["caf\u00e9", "n\u0303", "\u1112\u1161"])
def test_what_composition_may_change_is_held_back(text: str) -> None:
    vocabularies = [load("zoo-llada"), load("zoo-dream")]
    canvases = []
    for vocabulary in vocabularies:
        layout = Layout(24, 0, 18, 8, vocabulary.mask_id, vocabulary.eos_id)
        canvas, ids = blank_canvas((), (), layout), vocabulary.encode("ab" + text)
        canvases.append(canvas.with_generated(ids + canvas.generated[len(ids) :], 0))

    settled = SettledText(vocabularies, NO_ENDING).advance(canvases)

    assert settled in ("ab", "abcaf")
