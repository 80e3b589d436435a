"""Approximations on the zoo: told as they happened, the same in both drivers, and cheaper than the exact way."""

import pytest

from tests.members import zoo
from tests.properties.test_batch_invariance import story
from tests.running import run_together, running_engine
from tie_core.ensemble import Ensemble
from tie_core.events import RoundEnded, StepTaken
from tie_core.zoo import ANSWER_LENGTH, DEFAULTS, REASONING_LENGTH
from tie_core.zoo.items import make_items
from tie_core.zoo.task import VALIDATION_SEED

ENSEMBLE = Ensemble("zoo", zoo(), DEFAULTS)
NUM_LINES = 3
ITEMS = [item for item in make_items(VALIDATION_SEED, 12) if item.num_lines == NUM_LINES][:4]
PROMPTS = [[{"role": "user", "content": item.prompt}] for item in ITEMS]
EARLY = {"early_commit": True, "early_commit_margin": 0.2}
FILL = {"fill_end": True}


def forwards(completed):
    return sum(nfe.decode + nfe.score for nfe in completed.tie.nfe.values())


def early_stories():
    """Of requests that ended before their reasoning did, with every step."""
    stories = [list(ENSEMBLE.generate(prompt, **EARLY, detail="step")) for prompt in PROMPTS]
    early = [events for events in stories if "early_commit" in events[-1].tie.approximations]
    assert any(events[-1].finish_reason == "stop" for events in early)
    return early


def test_an_early_answer_costs_fewer_forwards_and_all_members_give_it():
    for events in early_stories():
        completed = events[-1]
        steps = [event for event in events if isinstance(event, StepTaken)]
        assert set(completed.tie.candidates.values()) == {completed.answer}
        assert forwards(completed) == len(steps) - len(zoo())  # each member's last step is its early commit
        assert forwards(completed) < len(zoo()) * (REASONING_LENGTH + ANSWER_LENGTH)


def test_steps_and_usage_count_what_is_on_the_canvas_after_an_early_commit():
    for events in early_stories():
        created, completed = events[0], events[-1]
        last = {event.model: event for event in events if isinstance(event, StepTaken)}
        first_answer = created.canvas.gen_length - ANSWER_LENGTH
        for name, step in last.items():
            assert all(position >= first_answer for position, *_ in step.set)
            answer = "".join(text for _, text, _ in step.set)
            assert completed.tie.candidates[name].endswith(answer)
        masked = last[completed.tie.final_model].masked_left
        layout = ENSEMBLE.request(messages=PROMPTS[0]).canvases
        lengths = {member.name: canvas.layout.length for member, canvas in zip(zoo(), layout, strict=True)}
        assert completed.usage.completion_tokens == lengths[completed.tie.final_model] - masked
        assert (completed.finish_reason == "stop") or masked == 0


def test_what_is_masked_in_the_reasoning_stays_out_of_the_text():
    for events in early_stories():
        completed = events[-1]
        rounds = [event for event in events if isinstance(event, RoundEnded)]
        num_written = len(rounds) + 1  # slots: one a round, and the one of the last
        assert completed.text == f"{completed.reasoning} Answer:{completed.answer}"
        assert completed.reasoning.count("=") == min(num_written, NUM_LINES)


def test_filling_ends_saves_steps_and_changes_no_text_on_these_items():
    for prompt in PROMPTS:
        exact, filled = ENSEMBLE.answer(prompt), ENSEMBLE.answer(prompt, **FILL)
        assert filled.tie.approximations == ("fill_end",)
        assert exact.tie.approximations == ()
        assert forwards(filled) < forwards(exact)
        assert filled.answer == exact.answer


@pytest.mark.parametrize("policy", ["top_k", "entropy_bound"])
def test_both_drivers_approximate_alike(policy):
    asked = [{"messages": prompt, "policy": policy, **EARLY, **FILL} for prompt in PROMPTS]
    with running_engine(ENSEMBLE.members) as engine:
        together = run_together(engine, [ENSEMBLE.request(**request, detail="step") for request in asked])
    assert [story(events) for events in together] == [story(list(ENSEMBLE.generate(**request))) for request in asked]
