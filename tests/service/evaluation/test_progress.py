"""How long an evaluation says that it will still take, by a clock that is made up."""

from collections.abc import Iterable, Iterator

import pytest
from rich.console import Console

from service.evaluation import progress
from service.evaluation.progress import TimeLeft, track
from tests.evaluation.answers import items, record
from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.records import Record
from tie_core.evaluation.running import Work

SLOW = tie_by("top1")
LATER = ((9, ""), (10, ", 2 min left"), (11, ", 1 min left"), (12, ", 0 min left"))


def work(num: int, *conditions: Condition) -> list[Work]:
    return [Work(condition, item) for condition in conditions for item in items(num)]


def after(left: TimeLeft, condition: Condition, times: Iterable[float]) -> list[float | None]:
    return [left.after(condition.key, time) for time in times]


def test_nothing_is_told_before_there_is_ground() -> None:
    """The first ten come at once, when all of them are done."""
    left = TimeLeft(work(100, POST), at_once=10, now=0.0)

    told = after(left, POST, [50.0] * 10)

    assert told == [None] * 9 + [90 * 5.0]


@pytest.mark.parametrize(("num", "at_once", "ground"), [(30, 4, 10), (100, 24, 24), (1000, 24, 50)])
def test_ground_is_ten_items_all_that_run_at_once_and_a_twentieth(num: int, at_once: int, ground: int) -> None:
    left = TimeLeft(work(num, POST), at_once, now=0.0)

    told = after(left, POST, map(float, range(1, num + 1)))

    assert told == [None] * (ground - 1) + [float(num - number) for number in range(ground, num + 1)]


def test_a_condition_costs_what_it_has_cost_and_an_unknown_one_what_any_has() -> None:
    left = TimeLeft(work(20, POST, SLOW), at_once=1, now=0.0)

    assert after(left, POST, map(float, range(1, 21)))[-1] == 20 * 1.0  # nothing of the slow one is known

    told = after(left, SLOW, [20 + 5.0 * number for number in range(1, 21)])

    assert told[8] == pytest.approx(11 * 65 / 29)  # nine are too few
    assert told[9:] == [5.0 * number for number in range(10, -1, -1)]


def test_the_end_is_told_of_however_few() -> None:
    assert after(TimeLeft(work(2, POST), at_once=8, now=0.0), POST, [3.0, 4.0]) == [None, 0.0]


def passed(times: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow records that come at these times."""
    clock = iter([0.0] * 2 + times)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))

    def records() -> Iterator[Record]:
        yield from (record(POST, number, right=True) for number in range(len(times)))

    assert len([*track("zoo", work(len(times), POST), records(), at_once=2)]) == len(times)


def test_a_log_is_told_of_the_first_record_without_a_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Console, "is_terminal", False)

    passed([60.0 * number for number in range(1, 13)], monkeypatch)

    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"zoo: 1 of 12 ({POST.label})"
    assert told[8:] == [f"zoo: {number} of 12{words} ({POST.label})" for number, words in LATER]
