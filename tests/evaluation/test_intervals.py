"""Intervals and tests of shares and means, against values worked by hand or published."""

import math
import random

import pytest

from tie_core.evaluation.intervals import (
    clustered,
    holm,
    lowest_difference,
    mcnemar,
    paired,
    sign_flipped,
    student,
    unpaired,
    wilson,
)


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


def test_mcnemar_is_the_binomial_tail_of_many_discordant_items():
    # Normal with continuity correction: z = (|b - c| - 1) / sqrt(b + c) = 1.994.
    assert mcnemar(3_466, 3_634) == pytest.approx(math.erfc((167) / math.sqrt(7_100) / math.sqrt(2)), rel=0.01)


def test_mcnemar_takes_a_step_for_each_item_of_the_smaller_side():
    class Counted(int):
        products = 0

        def __sub__(self, other):
            Counted.products += 1
            return int(self) - other

        def __add__(self, other):
            return Counted(int(self) + int(other))

    mcnemar(Counted(300), Counted(400))

    assert Counted.products == 300


def test_the_lowest_difference_is_agresti_and_mins():
    # b = 2, c = 1, n = 4: d = 1/6 and variance (4 - 1/6) / 36, so 1/6 - 1.959964 * 0.326314.
    assert lowest_difference([True, True, True, False], [False, False, True, True]) == pytest.approx(
        -0.472898, abs=1e-5
    )


def test_few_items_say_little_of_a_difference_even_where_none_differs():
    lowest = [lowest_difference([True] * num, [True] * num) for num in (10, 38, 1_000)]

    assert lowest == pytest.approx([-0.163330, -0.048999, -0.001956], abs=1e-5)  # 1.959964 / (n + 2)


def test_rounds_of_one_run_count_for_less_than_rounds_of_many():
    # Ratio 1/4 of 8, variance between runs 2 * 2 / 8 / (3 / 16) times that of independent rounds: 3 in effect.
    assert clustered([(2, 4), (0, 4)]) == wilson(0.75, 3)
    assert clustered([(1, 4), (1, 4)]) == wilson(2, 8)  # not more than there are
    assert clustered([(0, 4), (0, 4), (0, 0)]) == wilson(0, 2)
    assert clustered([(1, 4)]) == wilson(0.25, 1)


def test_the_interval_of_alike_rounds_covers_their_rate_as_often_as_it_says():
    rng = random.Random(0)

    def run():
        rate = rng.choice((0.05, 0.45))
        return sum(rng.random() < rate for _ in range(10)), 10

    samples = [[run() for _ in range(60)] for _ in range(400)]
    covered = sum(interval.low <= 0.25 <= interval.high for interval in map(clustered, samples))
    independently = [wilson(sum(num for num, _ in counts), 600) for counts in samples]

    assert 0.92 < covered / 400 < 0.98
    assert sum(interval.low <= 0.25 <= interval.high for interval in independently) / 400 < 0.9


@pytest.mark.parametrize(("degrees", "within"), [(1, 12.7062), (2, 4.3027), (9, 2.2622), (30, 2.0423), (998, 1.9623)])
def test_students_quantiles_are_those_of_published_tables(degrees, within):
    assert student(degrees) == pytest.approx(within, abs=5e-5)


def test_the_interval_of_two_means_is_welchs():
    # Variances 1 and 4 of three each: (1/3 + 4/3)^2 / (1/18 + 16/18) = 50/17 degrees of freedom.
    interval = unpaired([4, 5, 6], [0, 2, 4])

    assert interval.high - 3 == 3 - interval.low == pytest.approx(student(50 / 17) * math.sqrt(5 / 3))
    assert student(3) < student(50 / 17) < student(2.5)


def test_samples_that_do_not_vary_have_no_interval():
    assert unpaired([2, 2], [1, 1]) is None


def test_the_interval_of_few_runs_covers_the_difference_as_often_as_it_says():
    rng = random.Random(0)
    samples = [[[rng.gauss(0, spread) for _ in range(4)] for spread in (1, 2)] for _ in range(2_000)]

    covered = sum(interval.low <= 0 <= interval.high for interval in (unpaired(*pair) for pair in samples))

    assert 0.94 < covered / 2_000 < 0.97


def test_flipped_signs_of_few_differences_are_those_of_a_fair_coin():
    found = sign_flipped([0.5, 1, 0.25, 0.5, 0, 2, 1])

    assert found.difference == 0.75
    assert found.p_value == pytest.approx(2 / 64, abs=0.004)
    assert found == sign_flipped([0.5, 1, 0.25, 0.5, 0, 2, 1])
    assert sign_flipped([0.5, -0.5]).p_value == 1
    assert sign_flipped([1] * 100).p_value < 1e-4


def test_nothing_is_tested_where_nothing_differs():
    assert sign_flipped([]) is sign_flipped([0.0, 0.0]) is None


def test_holm_multiplies_by_what_is_left_and_keeps_the_order():
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([]) == []
