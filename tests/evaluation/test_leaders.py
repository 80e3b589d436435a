"""Leaders chosen otherwise: by chance but the same for the same item, and one member after another."""

import pytest

from tests.service.fakes import NAMES, OPTIONS, Faults, scripted_member
from tie_core.ensemble import Ensemble, run_plainly
from tie_core.errors import TaskError
from tie_core.evaluation.leaders import injection, leaders_of, led, one_after_the_other, random_leader
from tie_core.events import RoundEnded
from tie_core.scoring import Score
from tie_core.selection import Leader

SCORES = (Score(-1.0, 1.0, 0.5, 0.5), Score(0.0, 0.0, 0.5, 0.5), Score(-2.0, 0.0, 0.5, 0.5))
ANYONE = (True, True, True)


def test_random_leaders_are_the_same_for_the_same_seed():
    first, second = random_leader("a"), random_leader("a")

    leaders = [first(SCORES, ANYONE, None) for _ in range(60)]

    assert leaders == [second(SCORES, ANYONE, None) for _ in range(60)]
    assert set(leaders) == {Leader(0, None), Leader(1, None), Leader(2, None)}


def test_random_leaders_are_among_those_who_may_lead_and_were_there():
    choose = random_leader("a")

    assert {choose(SCORES, (False, True, True), 0).member for _ in range(20)} == {1, 2}
    assert {choose((*SCORES[:2], None), (False, True, True), 0).member for _ in range(20)} == {1}


def test_one_leads_after_the_other_and_the_scores_where_neither_may():
    choose = one_after_the_other(0, 2, num_first=2)

    assert [choose(SCORES, ANYONE, None).member for _ in range(5)] == [0, 0, 2, 2, 2]
    assert choose(SCORES, (True, True, False), 2).member == 1
    assert choose((*SCORES[:2], None), ANYONE, 2).member == 1


@pytest.mark.parametrize(("source", "target"), [NAMES, NAMES[::-1]])
def test_a_third_of_ones_reasoning_is_handed_to_another_member(source, target):
    members = [scripted_member(name, Faults()) for name in NAMES]
    request = Ensemble("tie", members, OPTIONS).request(messages=[{"role": "user", "content": "rev 123456"}])
    choose = leaders_of(injection(source, target), request, seed="")

    told = [event.leader for event in run_plainly(led(request, choose)) if isinstance(event, RoundEnded)]

    assert told == [source] + [target] * (len(told) - 1)  # of 24 steps of reasoning, n = 8: a third of three rounds
    assert len(told) >= 4


def test_other_leaders_are_refused():
    request = Ensemble("tie", [scripted_member(NAMES[0], Faults())], OPTIONS).request(prompt="1")

    for name in ("nonsense", injection(NAMES[0], "nobody")):
        with pytest.raises(TaskError, match="there are no leaders"):
            leaders_of(name, request, seed="")
