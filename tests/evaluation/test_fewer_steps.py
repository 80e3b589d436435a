"""The price list: valid settings, prices against the exact way of the same score, and the page."""

import re
from dataclasses import replace

import pytest

from tests.evaluation.answers import answered, measured, run
from tests.evaluation.test_page import TOLD
from tie_core.evaluation.fewer_steps import SCORES, SETTINGS, WAYS, prices_of, render
from tie_core.evaluation.settings import choose_settings
from tie_core.options import resolve_options
from tie_core.unmasking import POLICIES
from tie_core.zoo import DEFAULTS

NUM = 100


def cheap(setting, num_right, forwards, approximated=0):
    """A measurement with these forwards a request, of both members together."""
    runs = [
        replace(
            answered(index < num_right),
            decode_forwards={"one": forwards - 1},
            score_forwards={"one": 1},
            is_approximate=index < approximated,
        )
        for index in range(NUM)
    ]
    return measured(setting, runs)


def price(num_right, forwards, **changes):
    settings = choose_settings(["tcc-tau90"], SETTINGS, ())
    measurements = {
        "tcc-exact": cheap("tcc-exact", 90, 80),
        "tcc-tau90": cheap("tcc-tau90", num_right, forwards, **changes),
    }
    exact, cheaper = prices_of(settings, measurements)
    assert not exact.halves_within
    return cheaper


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_options_are_valid_and_the_exact_way_has_the_same_score(setting):
    options = resolve_options(DEFAULTS, setting.options)
    exact = next(other for other in SETTINGS if other.name == setting.baseline)
    assert exact.is_baseline
    assert options.score == exact.options["score"]


def test_every_policy_and_every_approximation_has_a_price():
    options = [resolve_options(DEFAULTS, setting.options) for setting in SETTINGS]
    assert {chosen.policy for chosen in options} == set(POLICIES)
    assert {chosen.early_commit for chosen in options} == {chosen.fill_end for chosen in options} == {True, False}
    assert len({setting.name for setting in SETTINGS}) == len({label for label, _ in WAYS.values()}) * len(SCORES)


def test_half_the_forwards_within_the_interval_of_exact_is_told_apart():
    assert price(90, 40).halves_within
    assert not price(90, 41).halves_within
    assert price(83, 40).halves_within  # 82.6 is the interval's lower end
    assert not price(82, 40).halves_within
    assert price(99, 40).halves_within


def test_a_price_is_paired_with_the_exact_way():
    cheaper = price(80, 20, approximated=25)
    assert (cheaper.forwards, cheaper.share_of_exact, cheaper.approximated) == (20, 0.25, 0.25)
    assert (cheaper.to_exact.only_first, cheaper.to_exact.only_second) == (0, 10)
    assert price(90, 20).to_exact is None


def test_the_page_has_a_row_for_every_way_and_score():
    page = render(TOLD, SETTINGS, {setting.name: run(setting.name, "1110") for setting in SETTINGS})
    for label, _ in WAYS.values():
        assert page.count(f"\n| {label} |") == len(SCORES)
    for lines in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in lines.splitlines()}) == 1


def test_the_page_names_the_cheapest_way_and_the_ones_that_are_worse():
    settings = choose_settings(["tcc-tau90", "tcc-k4"], SETTINGS, ())
    measurements = {
        "tcc-exact": cheap("tcc-exact", 90, 80),
        "tcc-k4": cheap("tcc-k4", 70, 10),
        "tcc-tau90": cheap("tcc-tau90", 92, 16),
    }
    page = render(TOLD, settings, measurements)
    assert "tcc: 1 of 2 ways halve the forwards within the interval of exact." in page
    assert "The cheapest is `threshold` 0.9: 16.0 forwards a request instead of 80.0, +2.0 [" in page
    assert "tcc: `top_k`, k = 4 is worse: -20.0 [" in page
    assert "## TIE, top1" not in page
