"""The library's front door: an ensemble answers without an engine and without HTTP."""

import pytest

import tie_core
from tests.members import tiny
from tie_core.errors import OptionsError, PromptError, UnknownModelError
from tie_core.events import Completed, Created, RoundEnded, Started, StepTaken

SHAPE = {"gen_length": 24, "answer": 6, "block_size": 4, "interval": 4}
MESSAGES = [{"role": "user", "content": "What is 2 + 2?"}]


@pytest.fixture(scope="module")
def ensemble():
    return tie_core.Ensemble("tiny", [tiny("llada-tiny"), tiny("dream-tiny")])


def test_generate_yields_events_and_returns_the_result(ensemble):
    story = ensemble.generate("What is 2 + 2?", **SHAPE)
    events = []
    while True:
        try:
            events.append(next(story))
        except StopIteration as end:
            result = end.value
            break
    assert [type(event) for event in events[:3]] == [Created, Started, RoundEnded]
    assert result is events[-1]
    assert isinstance(result, Completed)
    assert result.text.startswith(result.reasoning + "Answer:")


def test_messages_and_a_prompt_are_different_canvases(ensemble):
    chat, raw = ensemble.request(messages=MESSAGES, **SHAPE), ensemble.request(prompt="What is 2 + 2?", **SHAPE)
    assert len(chat.canvases[0].prompt) > len(raw.canvases[0].prompt)
    assert ensemble.answer(MESSAGES, **SHAPE).usage.prompt_tokens in [len(canvas.prompt) for canvas in chat.canvases]


def test_steps_are_told_only_to_those_who_ask(ensemble):
    told = [
        sum(isinstance(event, StepTaken) for event in ensemble.generate(MESSAGES, **SHAPE, detail=detail))
        for detail in ("round", "step")
    ]
    assert told[0] == 0
    assert told[1] >= 2 * 20


def test_defaults_lie_under_the_request_and_policy_defaults_between():
    ensemble = tie_core.Ensemble(
        "tiny", [tiny("llada-tiny")], {**SHAPE, "interval": 8}, {"threshold": {"interval": 3, "tau": 0.5}}
    )
    assert ensemble.request(prompt="a").options.interval == 8
    assert ensemble.request(prompt="a", policy="threshold").options.interval == 3
    assert ensemble.request(prompt="a", policy="threshold", interval=5).options.interval == 5


def test_a_request_may_take_some_of_the_members(ensemble):
    assert [member.name for member in ensemble.request(prompt="a", models=["dream-tiny"]).members] == ["dream-tiny"]


def test_a_member_keeps_its_index_whoever_else_is_asked(ensemble):
    asked = ["dream-tiny"], ["dream-tiny", "llada-tiny"], None
    created = [next(ensemble.generate("a", models=models, **SHAPE)) for models in asked]
    assert [[(model.id, model.index) for model in each.models] for each in created] == [
        [("dream-tiny", 1)],
        [("dream-tiny", 1), ("llada-tiny", 0)],
        [("llada-tiny", 0), ("dream-tiny", 1)],
    ]


@pytest.mark.parametrize("models", [[], ["gpt"], ["llada-tiny", "gpt"]])
def test_members_that_are_not_there_are_refused(ensemble, models):
    with pytest.raises(UnknownModelError, match="llada-tiny, dream-tiny"):
        ensemble.request(prompt="a", models=models)


def test_a_member_that_is_named_twice_is_refused(ensemble):
    with pytest.raises(OptionsError, match="twice"):
        ensemble.request(prompt="a", models=["llada-tiny", "llada-tiny"])


def test_a_prompt_that_leaves_no_room_says_by_how_much(ensemble):
    with pytest.raises(PromptError, match=r"exceeds llada-tiny's 256 positions: shorten by \d+ tokens"):
        ensemble.request(prompt="a b c " * 200, **SHAPE)


def test_the_best_model_is_a_member(ensemble):
    with pytest.raises(OptionsError, match="llada-tiny, dream-tiny"):
        ensemble.request(prompt="a", selection="best_model", best_model="gpt")
    chosen = ensemble.answer("a", **SHAPE, selection="best_model", best_model="dream-tiny")
    assert chosen.tie.final_model == "dream-tiny"


def test_every_public_name_is_there():
    for name in tie_core.__all__:
        assert getattr(tie_core, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = tie_core.unheard_of
