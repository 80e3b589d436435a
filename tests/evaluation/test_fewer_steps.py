"""The price list: valid ways, prices against the exact way, and what is said of them."""

import pytest

from tests.evaluation.answers import INTERVALS, record, results, study
from tie_core.evaluation.fewer_steps import EXACT, conditions, prices, render, ways
from tie_core.evaluation.records import LedRound
from tie_core.options import resolve_options
from tie_core.unmasking import POLICIES
from tie_core.zoo import DEFAULTS

NUM = 100
ASKED = study()
CHEAP = "`threshold` 0.9"


def cheap(condition, num_right, forwards, approximated=0):
    """Records with these forwards a request, of all members together."""
    return [
        record(
            condition,
            number,
            number < num_right,
            decode_forwards={"ann": forwards - 1},
            score_forwards={"ann": 1},
            approximations=("fill_end",) if number < approximated else (),
        )
        for number in range(NUM)
    ]


def measured(**told):
    """Prices, all of them as the exact way's but for those told: 90 right with 80 forwards."""
    records = [
        each for label, condition in ways(ASKED).items() for each in cheap(condition, *told.get(label, (90, 80)))
    ]
    return results(records, ASKED)


def price(num_right, forwards, approximated=0):
    exact, *others = prices(measured(**{CHEAP: (num_right, forwards, approximated)}))
    assert not exact.halves_within
    return next(each for each in others if each.label == CHEAP)


def test_every_policy_and_every_approximation_has_a_price():
    options = [resolve_options(DEFAULTS, condition.options) for condition in conditions(ASKED)]
    assert {chosen.policy for chosen in options} == set(POLICIES)
    assert {chosen.early_commit for chosen in options} == {chosen.fill_end for chosen in options} == {True, False}
    assert {chosen.cache for chosen in options} == {"off", "window"}
    assert len({condition.key for condition in conditions(ASKED)}) == len(options)


def test_k_tokens_a_step_go_with_a_kth_of_the_interval():
    told = ways(ASKED)
    assert told["`top_k`, k = 4"].options["interval"] == INTERVALS["tcc"] // 4
    assert told["exact"] == EXACT


def test_half_the_forwards_within_the_margin_is_told_apart():
    assert price(90, 40).halves_within
    assert not price(90, 41).halves_within
    assert price(89, 40).halves_within  # -1 - 1.96 * sqrt(2 - 1 / 102), of 102
    assert not price(88, 40).halves_within  # -2 - 1.96 * sqrt(3 - 4 / 102) = -5.4 %
    assert price(99, 40).halves_within


def test_few_items_do_not_pass_for_being_few():
    records = [
        record(condition, number, True, decode_forwards={"ann": 40 if label == CHEAP else 80}, score_forwards={})
        for label, condition in ways(ASKED).items()
        for number in range(20)
    ]

    assert not any(each.halves_within for each in prices(results(records, ASKED)))


def test_a_way_is_worse_only_where_p_says_so():
    told = measured(**{CHEAP: (86, 40)})  # 0 against 4: p = 0.125

    assert render(told).sentences[1:] == ()


def test_a_price_is_paired_with_the_exact_way():
    cheaper = price(80, 20, approximated=25)
    assert (cheaper.forwards, cheaper.share_of_exact, cheaper.approximated) == (20, 0.25, 0.25)
    assert (cheaper.to_exact.only_first, cheaper.to_exact.only_second) == (0, 10)
    assert price(90, 20).to_exact is None


def test_the_share_of_rounds_that_are_tied_is_told():
    tied = (LedRound("ann", {"ann": 0.0, "bob": 0.0}), LedRound("bob", {"ann": -1.0, "bob": 0.0}))
    records = [
        record(condition, number, True, rounds=tied if label == CHEAP else tied[1:])
        for label, condition in ways(ASKED).items()
        for number in range(2)
    ]

    told = render(results(records, ASKED))

    shares = {row[0].text(): row[6].text() for row in told.grids[0].rows}
    assert (shares[CHEAP], shares["exact"]) == ("50", "0")
    assert told.grids[0].header[6] == "tied, %"
    assert "n is 16, and 2 under `threshold`" in told.note


def test_the_cheapest_way_and_the_ones_that_are_worse_are_named():
    first, *worse = render(measured(**{CHEAP: (92, 16), "`top_k`, k = 4": (70, 10)})).sentences
    assert first.startswith(f"1 of {len(ways(ASKED)) - 1} ways halve the forwards within 5 points of exact.")
    assert "The cheapest is `threshold` 0.9: 16.0 forwards a request instead of 80.0, +2.0 [" in first
    assert [said.partition(" is worse: ")[0] for said in worse] == ["`top_k`, k = 4"]


@pytest.mark.parametrize("label", ways(ASKED))
def test_every_way_has_a_row(label):
    assert label in [row[0].text() for row in render(measured()).grids[0].rows]
