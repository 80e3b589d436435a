"""Intervals and tests of shares, against values worked by hand or published."""

import pytest

from tie_core.evaluation.intervals import mcnemar, paired, wilson


def test_wilson_interval_of_a_published_example():
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    interval = wilson(81, 263)

    assert interval.low == pytest.approx(0.2553, abs=5e-5)
    assert interval.high == pytest.approx(0.3662, abs=5e-5)


@pytest.mark.parametrize(("num_right", "low", "high"), [(0, 0.0, 0.277533), (10, 0.722467, 1.0)])
def test_wilson_interval_stays_inside_the_unit_at_its_ends(num_right, low, high):
    # z^2 / (n + z^2) = 3.841459 / 13.841459 on the open side.
    interval = wilson(num_right, 10)

    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_paired_interval_uses_the_spread_of_the_differences():
    # Differences 1, 1, 0, -1: mean 1/4, variance (9 + 9 + 1 + 25) / 16 / 3 = 11/12, so sqrt(11/48) = 0.478714.
    found = paired([True, True, True, False], [False, False, True, True])

    assert found.difference == 0.25
    assert found.interval.low == pytest.approx(0.25 - 1.959964 * 0.478714, abs=1e-5)
    assert found.interval.high == pytest.approx(0.25 + 1.959964 * 0.478714, abs=1e-5)
    assert (found.only_first, found.only_second) == (2, 1)
    assert found.p_value == 1.0


def test_equal_answers_differ_by_nothing():
    found = paired([True, False, True], [True, False, True])

    assert (found.difference, found.interval.low, found.interval.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert not found.interval.is_above_zero


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (5, 0, 2 / 32),
        (1, 7, 2 * (1 + 8) / 256),
        (9, 2, 2 * (1 + 11 + 55) / 2048),
        (3, 3, 1.0),  # 2 * (1 + 6 + 15 + 20) / 64 is above 1
    ],
)
def test_mcnemar_doubles_the_smaller_binomial_tail(only_first, only_second, p_value):
    assert mcnemar(only_first, only_second) == p_value
    assert mcnemar(only_second, only_first) == p_value


def test_mcnemar_takes_a_thousand_items_and_more():
    assert mcnemar(0, 1000) < 1e-300
    assert mcnemar(1000, 1000) == 1.0
