"""Verdicts are computed from the samples: met, missed, or not measured."""

from dataclasses import replace

import pytest

from bench.archive import Measured, load_archive, save_archive
from bench.passes import Sample, alternate
from bench.ratios import ensemble_ratio, ratio, scoring_ratio
from bench.targets import verdicts

ONE = Sample(cpu_seconds=1.0, seconds=1.0, num_tokens=100, prompt_tokens=(10, 30), latencies=(0.9, 1.0))


def spent(*cpu_seconds: float, **others: object) -> list[Sample]:
    return [replace(ONE, cpu_seconds=seconds, **others) for seconds in cpu_seconds]


def measured(name: str, **samples: list[Sample]) -> dict[str, Measured]:
    named = {side.replace("_", " "): passes for side, passes in samples.items()}
    return {name: Measured(name, "2026-01-01", 1.0, {"scale": "full", "load before": "0.1"}, named)}


def verdict_on(beginning: str, entries: dict[str, Measured]) -> tuple[str, bool | None]:
    (found,) = [verdict for verdict in verdicts(entries) if verdict.target.startswith(beginning)]
    return found.measured, found.is_met


def test_without_samples_nothing_is_met_or_missed() -> None:
    assert {(verdict.measured, verdict.is_met) for verdict in verdicts({})} == {("not measured", None)}


@pytest.mark.parametrize(("served", "is_met"), [((0.8, 0.7, 0.9), True), ((0.8, 0.81, 0.9), False)])
def test_a_ratio_is_the_median_of_the_repetitions(served: tuple[float, ...], is_met: bool) -> None:
    entries = measured("concurrency", served_8=spent(*served), raw_block_8=spent(1.0, 1.0, 1.0))

    told, met = verdict_on("8 at once: CPU", entries)

    assert told == f"{sorted(served)[1]:.2f} ({min(served):.2f} to {max(served):.2f})"
    assert met is is_met


def test_flatness_is_judged_between_4_and_64() -> None:
    flat = measured("growth", **{"4": spent(1.0), "8": spent(1.05), "64": spent(1.1)})
    steep = measured("growth", **{"4": spent(1.0), "64": spent(1.2)})

    assert verdict_on("CPU time a token from 4", flat) == ("1.10", True)
    assert verdict_on("CPU time a token from 4", steep) == ("1.20", False)


def test_throughput_is_judged_by_wall_time() -> None:
    entries = measured("concurrency", served_8=spent(1.0, seconds=0.5), raw_block_8=spent(1.0))

    assert verdict_on("8 at once: throughput", entries) == ("2.00", True)


def test_memory_latency_and_liveness_have_limits_of_their_own() -> None:
    entries = measured("vocabulary", served=spent(1.0, facts={"grown_bytes": 2.5e8}), raw_block=spent(2.0))
    entries |= measured("crowd", served=spent(1.0, facts={"livez_p99": 0.0191}, latencies=(1.0, 1.0, 1.4)))

    assert verdict_on("126,464 rows, 8 at once: memory", entries) == ("250 MB", False)
    assert verdict_on("126,464 rows, 8 at once: CPU", entries) == ("0.50", True)
    assert verdict_on("64 at once: the slowest", entries) == ("1.40", False)
    assert verdict_on("64 at once: `/livez`", entries) == ("19 ms", True)


def test_arrivals_that_never_run_together_miss_the_target() -> None:
    assert verdict_on("8 arrivals", measured("arrivals", served=spent(1.0))) == ("they never ran together", False)
    together = measured("arrivals", served=spent(1.0, facts={"rows_together": 7.2}))
    assert verdict_on("8 arrivals", together) == ("7.20", True)


def test_an_ensemble_is_held_against_as_many_steps_of_each_member_alone() -> None:
    def forwards(**decode: int) -> dict[str, dict[str, int]]:
        return {name: {"decode": number, "score": 0} for name, number in decode.items()}

    samples = {
        "twin: tie": spent(3.0, forwards=forwards(llada=100, twin=50)),
        "twin: llada alone": spent(2.0, forwards=forwards(llada=100)),
        "twin: twin alone": spent(2.0, forwards=forwards(twin=100)),
    }

    assert ensemble_ratio(samples, "twin").middle == pytest.approx(1.0)


def test_cross_model_scores_are_held_against_their_forwards() -> None:
    tcc = {name: {"decode": 100, "score": 0} for name in ("a", "b")}
    top1 = {name: {"decode": 100, "score": 10} for name in ("a", "b")}
    entries = measured("scores", tcc=spent(2.0, forwards=tcc, rounds=10), top1=spent(2.2, forwards=top1, rounds=10))

    assert scoring_ratio(entries["scores"].samples).middle == pytest.approx(1.0)
    assert verdict_on("top1: exactly", entries) == ("2.00 a round, M = 2", True)
    assert verdict_on("top1: CPU", entries)[1] is True


def test_a_faster_setting_counts_only_if_it_is_as_right() -> None:
    def answered(decode: int, right: int) -> list[Sample]:
        forwards = {"a": {"decode": decode, "score": 0}}
        return spent(1.0, forwards=forwards, latencies=(1.0,) * 100, facts={"right": float(right)})

    good = measured("embedded", exact=answered(100, 90), fast=answered(40, 88), faster=answered(20, 50))
    bad = measured("embedded", exact=answered(100, 90), slow=answered(60, 90), faster=answered(20, 50))

    assert verdict_on("a setting that halves", good) == ("fast: 0.40 x, 88.0 %", True)
    assert verdict_on("a setting that halves", bad) == ("none", False)


def test_sides_take_turns_in_changing_order() -> None:
    order: list[str] = []

    def side(name: str) -> Sample:
        order.append(name)
        return ONE

    samples = alternate({"a": lambda: side("a"), "b": lambda: side("b")}, 3, lambda _: None)

    assert order == ["a", "b", "b", "a", "a", "b"]
    assert ratio(samples, "a", "b").each == (1.0, 1.0, 1.0)


def test_an_archive_gives_back_what_was_measured(tmp_path) -> None:
    entries = measured("crowd", served=spent(1.0, forwards={"a": {"decode": 1, "score": 0}}, facts={"livez_p99": 0.5}))
    path = tmp_path / "folder" / "measurements.json"

    save_archive(path, entries)

    assert load_archive(path) == entries
    assert load_archive(tmp_path / "nothing.json") == {}
