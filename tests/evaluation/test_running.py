"""The runner: as many at once as the side takes, every answer written down as it comes, and what a failure means."""

from dataclasses import replace

import pytest

from tests.evaluation.answers import ScriptedSide, items, task
from tie_core.errors import (
    ContextLengthError,
    EngineClosedError,
    MemberError,
    NoMemberLeftError,
    OptionsError,
    OutOfMemoryError,
)
from tie_core.evaluation.conditions import POST, tie_by
from tie_core.evaluation.record_file import RecordFile
from tie_core.evaluation.records import LedRound
from tie_core.evaluation.running import MAX_TRIES, Work, run
from tie_core.events import Completed, LostInfo

TCC = tie_by("tcc")


def run_all(tmp_path, side, num=5, conditions=(TCC,), **changes):
    file = RecordFile(tmp_path / "numbers.jsonl", {}, {})
    file.load()
    work = [Work(condition, item) for condition in conditions for item in items(num)]
    return file, run(side, task(**changes), work, file)


@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_all_is_answered_with_no_more_at_once_than_the_side_takes(tmp_path, at_once):
    side = ScriptedSide(at_once)
    file, records = run_all(tmp_path, side, num=7, conditions=(POST, TCC))

    told = list(records)

    assert sorted((each.condition, each.item) for each in told) == sorted(file.load())
    assert len(told) == len(side.asked) == 14
    assert side.most_at_once <= at_once
    assert all(each.is_right for each in told)


def test_a_record_holds_what_the_events_told(tmp_path):
    _, records = run_all(tmp_path, ScriptedSide(1), num=1)

    (told,) = records

    assert told.candidates == {"ann": "0", "bob": "", "cat": "0"}
    assert told.members_right == {"ann": True, "bob": False, "cat": True}
    assert told.tcc == {"ann": 0.5, "bob": None, "cat": 1.0}
    assert told.rounds == (LedRound("ann", {"ann": -0.5, "bob": -0.5, "cat": -0.5}),)
    assert told.num_forwards == 3 * 12
    assert told.seconds == 2.5  # of 3.5, of which one in the queue


def test_each_text_is_graded_once(tmp_path):
    graded = []

    def grade(item, answer):
        graded.append(answer)
        return True

    list(run_all(tmp_path, ScriptedSide(1), num=1, grade=grade)[1])

    assert sorted(graded) == ["", "0"]


def test_every_record_is_in_the_file_when_it_is_told(tmp_path):
    file, records = run_all(tmp_path, ScriptedSide(2), num=3)

    for number, _ in enumerate(records, start=1):
        assert len(file.load()) == number


@pytest.mark.parametrize(
    "error",
    [
        ContextLengthError("messages", "prompt 9,000 exceeds ann's 4,096 positions"),
        OutOfMemoryError("ann has too little memory"),
        MemberError.not_finite("ann"),
    ],
)
def test_an_item_that_would_fail_every_time_counts_as_wrong(tmp_path, error):
    _, records = run_all(tmp_path, ScriptedSide(2, {"say 1": error}), num=3)

    by_item = {each.item: each for each in records}

    assert [by_item[f"q/{number}"].is_right for number in range(3)] == [True, False, True]
    assert by_item["q/1"].error == str(error)


class LosingSide(ScriptedSide):
    """Loses a member on `say 1` so many times, for this reason."""

    def __init__(self, reason, num):
        super().__init__(1)
        self._reason, self._left = reason, num

    def ask(self, question, listen):
        is_lost = question.prompt == "say 1" and self._left > 0
        self._left -= is_lost

        def degraded(event):
            if isinstance(event, Completed) and is_lost:
                lost = (LostInfo(1, "bob", self._reason),)
                event = replace(event, tie=replace(event.tie, degraded=True, lost=lost))
            listen(event)

        super().ask(question, degraded)


@pytest.mark.parametrize("reason", ["exception", "wrong_shape", "stalled", "died", "down"])
def test_an_answer_without_a_member_that_may_come_back_is_asked_again_behind_the_others(tmp_path, reason):
    side = LosingSide(reason, MAX_TRIES - 1)
    file, records = run_all(tmp_path, side, num=3)

    assert [(each.item, each.is_degraded) for each in records] == [("q/0", False), ("q/2", False), ("q/1", False)]
    assert [prompt for _, prompt in side.asked] == ["say 0", "say 1", "say 2", "say 1", "say 1"]
    assert len(file.load()) == 3


def test_a_member_that_does_not_come_back_ends_the_run(tmp_path):
    file, records = run_all(tmp_path, LosingSide("down", MAX_TRIES), num=3)

    with pytest.raises(MemberError, match=r"in each of 3 tries: bob \(down\)"):
        list(records)

    assert sorted(item for _, item in file.load()) == ["q/0", "q/2"]


@pytest.mark.parametrize("reason", ["not_finite", "out_of_memory"])
def test_a_member_that_the_item_itself_loses_is_recorded_so(tmp_path, reason):
    side = LosingSide(reason, 1)

    told = list(run_all(tmp_path, side, num=3)[1])

    assert [each.is_degraded for each in told] == [False, True, False]
    assert len(side.asked) == 3


@pytest.mark.parametrize(
    "error",
    [NoMemberLeftError.of(0, 2, 1), MemberError.in_forward("ann", ValueError()), MemberError.wrong_shape("ann")],
)
def test_a_failure_that_may_pass_is_never_recorded(tmp_path, error):
    side = ScriptedSide(1, {"say 1": error})
    file, records = run_all(tmp_path, side, num=3)

    with pytest.raises(type(error)):
        list(records)

    assert [prompt for _, prompt in side.asked].count("say 1") == MAX_TRIES
    assert sorted(item for _, item in file.load()) == ["q/0", "q/2"]


@pytest.mark.parametrize("error", [EngineClosedError("closed"), OptionsError("tau", "tau is above 0")])
def test_any_other_failure_ends_the_run_and_keeps_what_was_answered(tmp_path, error):
    file, records = run_all(tmp_path, ScriptedSide(1, {"say 2": error}), num=5)

    with pytest.raises(type(error)):
        list(records)

    assert sorted(item for _, item in file.load()) == ["q/0", "q/1"]
