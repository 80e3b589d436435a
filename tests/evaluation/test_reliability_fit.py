"""Reliabilities from judged runs: known ones are found again, and whatever the runs are they stay finite."""

import random

import pytest

from tie_core.calibration import MAX_COEFFICIENT, Reliability
from tie_core.evaluation.reliability_fit import Trial, fit

TRUE = {"ann": Reliability(2.0, 3.0), "bob": Reliability(0.0, 1.0)}


def drawn(num, num_rounds=3):
    rng = random.Random(1)
    for _ in range(num):
        led = [(rng.choice("ab"), rng.gauss(0, 1)) for _ in range(num_rounds)]
        led = [({"a": "ann", "b": "bob"}[letter], reading) for letter, reading in led]
        num_right = sum(rng.random() < TRUE[name](reading) for name, reading in led)
        yield Trial(led, num_right == num_rounds)


def test_known_reliabilities_are_found_again_though_only_whole_runs_are_judged():
    found = fit(list(drawn(4_000)), ["ann", "bob"])

    for name, true in TRUE.items():
        assert found[name].intercept == pytest.approx(true.intercept, abs=0.3)
        assert found[name].slope == pytest.approx(true.slope, abs=0.3)


def test_the_same_runs_give_the_same_reliabilities():
    trials = list(drawn(100))

    assert fit(trials, ["ann", "bob"]) == fit(trials, ["ann", "bob"])


@pytest.mark.parametrize(
    "trials",
    [
        [Trial([("ann", 1.0)], True), Trial([("ann", -1.0)], False)] * 50,
        [Trial([("ann", 1.0), ("bob", 0.5)], True)] * 50,
        [Trial([("ann", 1.0), ("bob", 0.5)], False)] * 50,
        [Trial([("ann", 1e-9)], True), Trial([("bob", 0.0)], False)] * 50,
        [Trial([("ann", 1.0), ("ann", 0.5)], True)],
    ],
    ids=["separable", "all right", "all wrong", "tiny readings", "one"],
)
def test_they_stay_finite(trials):
    for reliability in fit(trials, ["ann", "bob"]).values():
        assert abs(reliability.intercept) <= MAX_COEFFICIENT
        assert 0 < reliability.slope <= MAX_COEFFICIENT
        assert 0 <= reliability(1.0) <= 1


def test_a_higher_reading_is_never_less_reliable_even_where_the_runs_say_so():
    against = [Trial([("ann", -1.0)], True), Trial([("ann", 1.0)], False)] * 50

    assert fit(against, ["ann"])["ann"].slope > 0


def test_a_member_that_never_led_is_compared_as_the_others_are():
    found = fit([Trial([("ann", 1.0)], True), Trial([("ann", -1.0)], False)] * 50, ["ann", "bob"])

    assert found["bob"](1.0) > found["bob"](-1.0)


@pytest.mark.parametrize("led", [[], [("ann", 0.0), ("bob", 0.0)]])
def test_without_readings_that_differ_there_is_nothing_to_learn(led):
    assert fit([Trial(led, True), Trial(led, False)], ["ann", "bob"]) is None
