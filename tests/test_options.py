"""Options: presets, layers, and what is refused."""

import pytest

from tie_core.errors import OptionsError
from tie_core.options import PRESETS, TieOptions, check_effect, resolve_options


@pytest.mark.parametrize(
    ("task", "suffix", "regions"),
    [("general", 2, (110, 16)), ("math", 2, (222, 32)), ("planning", 2, (222, 32)), ("open", 0, (128, 0))],
)
def test_the_presets_have_the_papers_lengths(task, suffix, regions):
    options = resolve_options({"task": task})
    assert options.region_lengths(suffix) == regions
    assert sum(regions) + suffix == options.gen_length


def test_code_has_no_reasoning_unless_asked_and_scores_eight_positions():
    options = resolve_options({"task": "code"})
    assert options.region_lengths(3) == (0, 509)
    assert options.scored_positions == 8
    assert options.suffix.startswith("```python")
    assert resolve_options({"task": "code", "reasoning": 100}).region_lengths(3) == (100, 409)


def test_later_layers_win():
    options = resolve_options({"task": "math", "interval": 4}, {"interval": 5, "k": 2}, {"k": 3})
    assert (options.task, options.interval, options.k, options.answer) == ("math", 5, 3, 32)


def test_a_length_alone_replaces_what_a_full_set_of_lengths_said():
    ensemble = {"reasoning": 24, "answer": 18}
    assert resolve_options(ensemble).region_lengths(1) == (24, 18)
    assert resolve_options(ensemble, {"gen_length": 64}).region_lengths(1) == (45, 18)
    assert resolve_options(ensemble, {"answer": 8}).region_lengths(1) == (24, 8)
    assert resolve_options(ensemble, {"gen_length": 64, "reasoning": 50}).region_lengths(1) == (50, 13)
    assert resolve_options(ensemble, {"gen_length": 64, "answer": 10}).region_lengths(1) == (53, 10)


def test_a_canvas_without_room_is_refused_with_the_length_to_ask_for():
    with pytest.raises(OptionsError, match="take 18 positions"):
        resolve_options({"gen_length": 10, "answer": 16}).region_lengths(2)
    with pytest.raises(OptionsError, match="ask for more"):
        resolve_options({"reasoning": 0, "answer": 0}).region_lengths(2)
    with pytest.raises(OptionsError, match="at most"):
        resolve_options({"reasoning": 8000, "answer": 8000}).region_lengths(2)


def test_two_lengths_decide_the_third():
    assert resolve_options({"task": "code", "gen_length": 256, "answer": 64}).region_lengths(3) == (189, 64)
    assert resolve_options({"task": "code", "answer": 64}).region_lengths(3) == (0, 64)
    assert resolve_options({"task": "open", "gen_length": 40}).region_lengths(0) == (40, 0)
    with pytest.raises(OptionsError, match="give two"):
        resolve_options({"gen_length": 10, "reasoning": 100, "answer": 50})


def test_the_long_interval_of_a_preset_is_for_tcc():
    assert resolve_options({"task": "general"}).interval == 32
    assert resolve_options({"task": "general"}, {"score": "top1"}).interval == 16
    assert resolve_options({"task": "general", "interval": 5}, {"score": "top1"}).interval == 5


@pytest.mark.parametrize("task", sorted(PRESETS))
def test_every_preset_is_valid_by_itself(task):
    assert resolve_options({"task": task}).task == task


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", "poetry"),
        ("task", ["math"]),
        ("score", "best"),
        ("selection", "first"),
        ("policy", "random"),
        ("suppress_end", True),
        ("relay_boundary", "word"),
        ("gen_length", 0),
        ("gen_length", 10**9),
        ("gen_length", "64"),
        ("answer", -1),
        ("block_size", 0),
        ("block_size", None),
        ("interval", 0),
        ("interval", True),
        ("k", 0),
        ("tau", 0.0),
        ("tau", 1.5),
        ("tau", float("nan")),
        ("tau", "high"),
        ("factor", 0),
        ("factor", 2.1),
        ("gamma", 0.0),
        ("gamma", float("inf")),
        ("gamma", True),
        ("fill_end", 1),
        ("early_commit", "yes"),
        ("early_commit_margin", 0),
        ("early_commit_margin", 1.01),
        ("scored_positions", 0),
        ("cross_model", 1),
        ("suffix", 5),
        ("unheard_of", 1),
    ],
)
def test_what_is_out_of_range_is_refused_by_name_without_an_echo(name, value):
    with pytest.raises(OptionsError) as refused:
        resolve_options({name: value})
    assert refused.value.param == name
    assert not isinstance(value, str) or value not in str(refused.value)


def test_best_model_needs_a_name():
    with pytest.raises(OptionsError) as refused:
        resolve_options({"selection": "best_model"})
    assert refused.value.param == "best_model"


def test_options_are_frozen():
    with pytest.raises(AttributeError):
        TieOptions(gen_length=8, answer=2).k = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    "name", ["k", "tau", "factor", "gamma", "early_commit_margin", "refresh_interval", "best_model"]
)
def test_what_would_have_no_effect_is_refused_with_what_it_needs(name: str) -> None:
    options = resolve_options({"task": "math", "policy": "threshold" if name == "k" else "top_k"})

    with pytest.raises(OptionsError, match=f"^{name} has no effect unless .* is .*: ask for that too$"):
        check_effect({name: "anything"}, options)


def test_what_has_an_effect_or_is_not_asked_for_is_fine() -> None:
    check_effect({"tau": 0.5, "k": None, "interval": 3}, resolve_options({"policy": "threshold", "tau": 0.5}))
