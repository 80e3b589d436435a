"""Verdicts: each target is held against the measured rows, and what was not measured is not judged."""

from tests.evaluation.answers import post, run
from tie_core.evaluation.rows import rows_of
from tie_core.evaluation.settings import choose_settings
from tie_core.evaluation.targets import Verdict, verdicts

NUM = 100


def share(num_right: int) -> str:
    return "1" * num_right + "0" * (NUM - num_right)


def judge(first: int, second: int, chosen: int, **scores: int) -> tuple[Verdict, ...]:
    measurements = {"post": post(share(first), share(second), share(chosen))}
    measurements |= {name: run(name, share(num_right)) for name, num_right in scores.items()}
    return verdicts(rows_of(choose_settings(tuple(scores) or ["post"]), measurements))


def test_all_targets_can_be_met():
    assert [verdict.is_met for verdict in judge(50, 60, 65, tcc=80, top1=85)] == [True] * 6


def test_members_at_the_bounds_are_inside_and_a_gap_of_fifteen_is_too_wide():
    inside, apart, *_ = judge(45, 60, 60)
    outside, *_ = judge(44, 50, 50)

    assert (inside.is_met, apart.is_met, outside.is_met) == (True, False, False)


def test_a_gain_below_its_target_is_missed():
    *_, on_ensemble, on_better, _, _ = judge(50, 60, 65, tcc=69, top1=85)

    assert (on_ensemble.is_met, on_better.is_met) == (False, False)
    assert on_ensemble.measured.startswith("+4.0 [")


def test_a_gain_is_missed_while_its_interval_reaches_zero():
    measurements = {"post": post("1" * 5 + "0" * 5, "1" * 5 + "0" * 5, "1" * 5 + "0" * 5)}
    measurements["tcc"] = run("tcc", "1" * 6 + "0" * 4)

    _, _, on_ensemble, *_ = verdicts(rows_of(choose_settings(["tcc"]), measurements))

    assert on_ensemble.measured.startswith("+10.0 [-")
    assert on_ensemble.is_met is False


def test_what_was_not_measured_is_not_judged():
    *_, on_ensemble, on_better = judge(50, 60, 65, tcc=80)

    assert (on_ensemble.is_met, on_better.is_met) == (None, None)
    assert on_ensemble.measured == "not measured"
