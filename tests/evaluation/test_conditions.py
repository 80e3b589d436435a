"""Conditions: one key for one way of answering, and names for the usual ones."""

import pytest

from tie_core.errors import OptionsError, TaskError
from tie_core.evaluation.conditions import CHOSEN, POST, RANDOM, SCORES, Condition, parse_conditions, standard, tie_by
from tie_core.evaluation.leaders import injection


def test_a_key_tells_everything_that_is_asked_and_not_how_it_is_called():
    one = Condition("a", {"score": "tcc", "cross_model": False, "tau": 0.9}, models=("x", "y"))
    other = Condition("b", {"tau": 0.9, "cross_model": False, "score": "tcc"}, models=("x", "y"))

    assert one.key == other.key == "cross_model=false score=tcc tau=0.9 models=x,y"
    assert Condition("c", {"score": "tcc"}, is_normalised=False).key == "score=tcc is_normalised=false"
    assert Condition("d", leaders=injection("x", "y")).key == "leaders=inject_reasoning:x>y"


def test_only_what_no_request_can_say_needs_the_models_here():
    assert Condition("a", leaders="random").needs_models_here
    assert Condition("b", is_normalised=False).needs_models_here
    assert not tie_by("top1", cross_model=False).needs_models_here


def test_without_names_there_is_every_score_that_the_library_has():
    assert standard() == (POST, *(tie_by(score) for score in SCORES))


def test_names_and_options_are_conditions():
    assert parse_conditions("post, random,tcc,tcc") == (POST, RANDOM, tie_by("tcc"))
    first, second, third = parse_conditions("chosen; score=top1 interval=4; models=a,b")

    assert first == CHOSEN
    assert (second.options, second.label) == ({"score": "top1", "interval": 4}, "TIE, score=top1 interval=4")
    assert (third.options, third.models) == ({}, ("a", "b"))


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ("tcc,nonsense", TaskError, "there is no condition 'nonsense': give post, random, chosen, tcc"),
        ("post; score=top1 4", OptionsError, "'4' is no option: give NAME=VALUE"),
    ],
)
def test_what_is_neither_is_refused_by_name(words, error, says):
    with pytest.raises(error, match=says):
        parse_conditions(words)
