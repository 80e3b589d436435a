"""Lost members in the loop itself, by scripts: who is there, who leads, what is left at the end."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pytest

from tests.test_tie import BLANK, options, reasoning, steady, wavering
from tie_core.canvas import Canvas
from tie_core.errors import LossReason, MemberError, NoMemberLeftError, OutOfMemoryError
from tie_core.lost import Lost
from tie_core.scoring import ChangeCount, History, Scope, Score
from tie_core.selection import Leader, Ledger, choose_leader, lowest_tcc
from tie_core.testing.scripted import VOCABULARY, Drive, Guess, Oracle, drive
from tie_core.tie import Decode, Probe, _lead, tie

Rule = Callable[[int, Decode | Probe], LossReason | None]
NOBODY: Rule = lambda number, work: None  # noqa: E731


def run(oracles: Sequence[Oracle], rule: Rule, **changes: Any) -> Drive:
    """Drive the loop; `rule` says of each piece of work whether its member is lost to it."""
    chosen = options(**changes)
    best = None if chosen.best_model is None else 1
    program = tie([VOCABULARY] * len(oracles), [BLANK] * len(oracles), chosen, best)
    return drive(program, oracles, chosen, rule)


def lose(member: int, number: int, kind: type = Decode, reason: LossReason = "exception") -> Rule:
    return lambda now, work: reason if (now, work.member) == (number, member) and isinstance(work, kind) else None


def told(seen: Drive) -> tuple[Any, ...]:
    rounds = [
        ([run.member for run in one.trajectories], one.scores, one.leader, one.canvases, one.num_score_forwards)
        for one in seen.rounds
    ]
    return rounds, seen.end.final, seen.end.candidates, seen.end.canvases


def test_a_lost_member_is_no_candidate_and_gets_the_relay_all_the_same() -> None:
    seen = run([wavering(3), steady(4)], lose(1, 1))

    first = seen.rounds[0]
    assert [run.member for run in first.trajectories] == [0]
    assert first.leader.member == 0
    assert first.lost == {1: Lost("exception")}
    assert first.canvases[1].generated == first.canvases[0].generated


def test_it_is_there_again_in_the_next_round() -> None:
    seen = run([wavering(3), steady(4)], lose(1, 1))

    assert [run.member for run in seen.rounds[1].trajectories] == [0, 1]
    assert seen.rounds[1].leader.member == 1
    assert seen.rounds[1].switched


def test_the_leader_of_a_round_may_be_lost_to_the_next() -> None:
    seen = run([wavering(3), steady(4)], lose(1, 2))

    assert [one.leader.member for one in seen.rounds] == [1, 0]
    assert seen.rounds[1].canvases[0].generated[:2] == (4, 4)


@pytest.mark.parametrize("score", ["top1", "entropy", "margin"])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("member", [0, 1, 2])
@pytest.mark.parametrize("early_commit", [False, True])
def test_the_moment_of_a_loss_makes_no_difference(score: str, number: int, member: int, early_commit: bool) -> None:
    oracles = [steady(3, 0.99), steady(3, 0.97), wavering(4, 0.6)]
    changes = {"score": score, "early_commit": early_commit}

    in_its_steps = run(oracles, lose(member, number), **changes)
    in_a_reading = run(oracles, lose(member, number, Probe), **changes)

    assert told(in_its_steps) == told(in_a_reading)


@pytest.mark.parametrize("kind", [Decode, Probe])
def test_without_the_one_that_doubts_the_others_commit_early(kind: type) -> None:
    def settled(seen: Canvas) -> dict[int, Guess]:
        return {**reasoning(3), 5: (3, 0.99), 6: (3, 0.99)}

    seen = run([settled, settled, wavering(4)], lose(2, 1, kind), score="top1", early_commit=True)

    assert seen.rounds == []
    assert [run.member for run in seen.end.candidates] == [0, 1]
    assert seen.end.final_canvas.generated[5:] == (3, 3)


def test_readings_of_and_by_a_lost_member_count_nowhere() -> None:
    both = run([steady(3, 0.9), steady(4, 0.6)], lose(1, 1, Probe), score="top1")
    alone = run([steady(3, 0.9)], NOBODY, score="top1")

    assert both.rounds[0].scores == alone.rounds[0].scores
    assert both.rounds[0].num_score_forwards == (0, 0)
    second = [work for work in both.decodes if work.member == 1][1]
    assert second.first is None


def test_without_losses_nothing_changes() -> None:
    seen = run([wavering(3), steady(4)], NOBODY)

    assert not any(one.lost for one in seen.rounds)
    assert not seen.end.lost


def test_a_member_lost_in_the_final_stretch_is_no_candidate() -> None:
    seen = run([steady(3), steady(4)], lose(0, 1, reason="stalled"), interval=10)

    assert [run.member for run in seen.end.candidates] == [1]
    assert seen.end.final.member == 1
    assert seen.end.lost == {0: Lost("stalled")}
    assert seen.end.final_canvas.generated[:2] == (4, 4)


def test_a_lost_best_model_leaves_the_choice_to_the_most_stable() -> None:
    seen = run([steady(3), steady(4)], lose(1, 1), interval=10, selection="best_model", best_model="b")

    assert (seen.end.final.member, seen.end.rule) == (0, "lowest_tcc")


def test_a_round_that_was_lost_is_not_in_the_whole_runs_count() -> None:
    lost = run([wavering(3), steady(4)], lose(0, 1))
    whole = run([wavering(3), steady(4)], NOBODY)

    assert lost.end.candidates[0].tcc.value < whole.end.candidates[0].tcc.value


@pytest.mark.parametrize(("min_models", "ends"), [(1, False), (2, False), (3, True)])
def test_a_request_goes_on_with_no_fewer_members_than_it_asks_for(min_models: int, ends: bool) -> None:
    oracles = [steady(3), steady(4), steady(5)]

    if ends:
        with pytest.raises(NoMemberLeftError, match="2 of 3 models are left"):
            run(oracles, lose(2, 2), min_models=min_models)
    else:
        assert run(oracles, lose(2, 2), min_models=min_models).outcome is not None


def test_nobody_left_is_an_error_and_the_only_members_is_its_own() -> None:
    error = MemberError.not_finite("a")
    program = tie([VOCABULARY], [BLANK], options())
    program.send(None)
    with pytest.raises(MemberError) as raised:
        program.send((Lost.of(error),))
    assert raised.value is error

    with pytest.raises(NoMemberLeftError):
        run([steady(3)], lose(0, 1, reason="died"))
    with pytest.raises(NoMemberLeftError):
        run([steady(3), steady(4)], lambda number, work: "exception")


def test_a_canvas_that_no_member_has_memory_for_says_so() -> None:
    error = OutOfMemoryError.of_canvas("a", "cpu", 100)
    program = tie([VOCABULARY] * 2, [BLANK] * 2, options())
    program.send(None)

    with pytest.raises(OutOfMemoryError):
        program.send((Lost.of(error), Lost.of(error)))


def test_what_fails_the_same_on_every_member_is_not_to_be_tried_again() -> None:
    errors = [MemberError.not_finite("a"), MemberError.wrong_shape("b")]
    program = tie([VOCABULARY] * 2, [BLANK] * 2, options())
    program.send(None)

    with pytest.raises(MemberError) as raised:
        program.send(tuple(Lost.of(error) for error in errors))
    assert raised.value is errors[0]


def test_whoever_was_absent_is_not_the_more_stable_for_it() -> None:
    whole = run([steady(3), wavering(4)], NOBODY)
    lost = run([steady(3), wavering(4)], lambda number, work: "died" if (number, work.member) == (1, 1) else None)

    assert whole.end.final.member == lost.end.final.member == 0


def test_candidates_are_compared_over_the_rounds_that_all_of_them_attended() -> None:
    ledger = Ledger()
    changed = ChangeCount(Fraction(1), has_evidence=True)
    little = ChangeCount(Fraction(3, 4), has_evidence=True)
    scope = Scope(range(0), frozenset())
    ledger.add({0: History(scope, changed)}, 0)
    ledger.add({0: History(scope, little), 1: History(scope, changed)}, 0)
    ledger.add({0: History(scope), 1: History(scope)})

    candidates = ledger.candidates()

    assert [run.tcc.value for run in candidates] == [Fraction(3, 4), 1]
    assert lowest_tcc(candidates, None).member == 0


def test_without_the_leader_whoever_keeps_most_of_its_text_leads_and_it_is_told() -> None:
    scores = {member: Score(value, 0.0, 0.5, 0.5) for member, value in ((0, 0.0), (1, -1.0))}

    won = _lead(choose_leader, scores, [b"a", b"abc", b"abcdef"], 2, b"abcdef")

    assert won == Leader(1, "leader_lost")
