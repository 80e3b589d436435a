"""Readings of unequal members as chances: the logistic, the option, and who leads and answers by it."""

from fractions import Fraction
from math import exp, nan

import pytest

import tie_core
from tests.members import tiny
from tests.test_tie import BLANK, options, steady, wavering
from tie_core.calibration import Calibration, Reliability
from tie_core.errors import OptionsError
from tie_core.events import Created
from tie_core.options import check_effect, resolve_options
from tie_core.testing.scripted import VOCABULARY, drive
from tie_core.tie import tie

SHAPE = {"gen_length": 24, "answer": 6, "block_size": 4, "interval": 4}


def table(rule="tcc", **intercepts):
    return {name: {rule: {"intercept": intercept, "slope": 1.0}} for name, intercept in intercepts.items()}


def run(calibration=None, **changes):
    """The right member wavers; the wrong one is as stable as can be."""
    oracles, chosen = [wavering(3), steady(4)], options(calibration=calibration, **changes)
    program = tie([VOCABULARY] * 2, [BLANK] * 2, chosen, calibration=Calibration.of(calibration, ["right", "wrong"]))
    return drive(program, oracles, chosen)


def test_a_reading_becomes_a_chance_by_the_members_own_logistic():
    reliability = Reliability(intercept=1.0, slope=2.0)

    assert reliability(-0.5) == reliability(Fraction(-1, 2)) == 0.5
    assert reliability(0.0) == pytest.approx(1 / (1 + exp(-1)))
    assert (Reliability(0.0, 10_000.0)(-5.0), Reliability(0.0, 10_000.0)(5.0)) == (pytest.approx(0.0), 1.0)


def test_plain_tcc_is_led_by_the_member_that_is_stable_when_wrong_and_a_calibration_by_the_other():
    plain, calibrated = run(), run(table(right=4.0, wrong=-2.0))

    assert {ended.leader.member for ended in plain.rounds} == {1}
    assert {ended.leader.member for ended in calibrated.rounds} == {0}
    first = calibrated.rounds[0].scores
    assert [score.value for score in first] == [pytest.approx(1 / (1 + exp(-3))), pytest.approx(1 / (1 + exp(2)))]
    assert [score.tcc for score in first] == [1.0, 0.0]  # what was measured stays what it is


def test_the_final_answer_is_that_of_the_most_reliable_whole_run():
    assert run(interval=6).end.final.member == 1
    calibrated = run(table("lowest_tcc", right=9.0, wrong=-2.0), interval=6).end

    assert (calibrated.final.member, calibrated.rule) == (0, "lowest_tcc")


@pytest.mark.parametrize("changes", [{"score": "tcc"}, {"score": "commit"}, {"score": "top1"}])
def test_a_calibration_of_another_score_changes_nothing(changes):
    plain, other = run(**changes), run(table("entropy", right=9.0, wrong=-9.0), **changes)

    assert other.rounds == plain.rounds
    assert other.end == plain.end
    assert [candidate.reliability for candidate in plain.end.candidates] == [None, None]


@pytest.mark.parametrize(
    ("calibration", "says"),
    [
        ([], "for each member a table"),
        ({}, "1 to 64 members"),
        ({str(number): {"tcc": {"intercept": 0, "slope": 1}} for number in range(65)}, "1 to 64 members"),
        ({"a": {}}, "the rules are tcc, top1"),
        ({"a": 1}, "the rules are tcc, top1"),
        ({"a": {"best_model": {"intercept": 0, "slope": 1}}}, "the rules are tcc, top1"),
        ({**table(a=0), **table("top1", b=0)}, "the same rules for every member"),
        ({"a": {"tcc": {"intercept": 0}}}, "numbers from -10000 to 10000"),
        ({"a": {"tcc": {"intercept": 0, "slope": 1, "shift": 0}}}, "numbers from"),
        ({"a": {"tcc": {"intercept": nan, "slope": 1}}}, "numbers from"),
        ({"a": {"tcc": {"intercept": True, "slope": 1}}}, "numbers from"),
        ({"a": {"tcc": {"intercept": "0", "slope": 1}}}, "numbers from"),
        ({"a": {"tcc": {"intercept": 0, "slope": 10**400}}}, "numbers from"),
        ({"a": {"tcc": {"intercept": 0, "slope": -1}}}, "slope is 0 or more"),
    ],
)
def test_what_is_no_calibration_is_refused(calibration, says):
    with pytest.raises(OptionsError, match=says) as refused:
        resolve_options({"calibration": calibration})
    assert refused.value.param == "calibration"


def test_a_calibration_is_of_every_member_that_is_asked_and_of_no_stranger():
    ensemble = tie_core.Ensemble("tiny", [tiny("llada-tiny"), tiny("dream-tiny")])
    one, both = table(**{"llada-tiny": 0.0}), table(**{"llada-tiny": 0.0, "dream-tiny": 0.0})

    assert ensemble.request(prompt="x", models=["llada-tiny"], calibration=one, **SHAPE).options.calibration == one
    assert ensemble.request(prompt="x", models=["llada-tiny"], calibration=both, **SHAPE).options.calibration == both
    with pytest.raises(OptionsError, match="each member that is asked: llada-tiny, dream-tiny"):
        ensemble.request(prompt="x", calibration=one, **SHAPE)
    with pytest.raises(OptionsError, match="each member that is asked"):
        ensemble.request(prompt="x", calibration={**both, **table(stranger=0.0)}, **SHAPE)


def test_a_request_is_told_its_calibration_and_its_rounds_chances():
    ensemble = tie_core.Ensemble("tiny", [tiny("llada-tiny"), tiny("dream-tiny")])
    calibration = table(**{"llada-tiny": -8.0, "dream-tiny": 8.0})

    created, _, first, *_ = ensemble.generate("What is 2 + 2?", calibration=calibration, score="tcc", **SHAPE)

    assert isinstance(created, Created)
    assert created.options["calibration"] == calibration
    assert first.scores["llada-tiny"].value < 0.5 < first.scores["dream-tiny"].value
    assert first.leader == "dream-tiny"


def test_a_calibration_that_would_decide_nothing_is_refused():
    asked = {"calibration": table(a=0.0)}

    check_effect(asked, resolve_options(asked))
    check_effect(
        {"calibration": table("lowest_tcc", a=0.0)}, resolve_options({"calibration": table("lowest_tcc", a=0.0)})
    )
    with pytest.raises(OptionsError, match="calibration has no effect"):
        check_effect(asked, resolve_options(asked, {"score": "top1"}))
