"""Leaders chosen otherwise: by chance but the same for the same item, and by the line's expert."""

from tie_core.evaluation.leaders import expert_leader, random_leader
from tie_core.scoring import Score
from tie_core.selection import Leader
from tie_core.zoo import MEMBERS
from tie_core.zoo.task import Line, item_of

ITEM = item_of([Line("rev", "123456"), Line("hlf", "123456"), Line("inc", "123456")])
SCORES = (Score(-1.0, 1.0, 0.5, 0.5), Score(0.0, 0.0, 0.5, 0.5))
ANYONE = (True, True)


def test_each_line_is_led_by_its_expert_and_the_answer_by_the_scores():
    choose = expert_leader(ITEM, MEMBERS)

    led = [choose(SCORES, ANYONE, None).member for _ in range(4)]

    assert led == [MEMBERS.index("zoo-llada"), MEMBERS.index("zoo-dream"), MEMBERS.index("zoo-llada"), 1]


def test_experts_are_found_whatever_the_order_of_the_members():
    choose = expert_leader(ITEM, MEMBERS[::-1])

    assert [choose(SCORES, ANYONE, None).member for _ in range(3)] == [1, 0, 1]


def test_an_expert_who_may_not_lead_gives_way():
    assert expert_leader(ITEM, MEMBERS)(SCORES, (False, True), None).member == 1


def test_random_leaders_are_the_same_for_the_same_item():
    first, second = random_leader(ITEM, MEMBERS), random_leader(ITEM, MEMBERS)

    led = [first(SCORES, ANYONE, None) for _ in range(50)]

    assert led == [second(SCORES, ANYONE, None) for _ in range(50)]
    assert set(led) == {Leader(0, None), Leader(1, None)}


def test_random_leaders_are_among_those_who_may_lead():
    choose = random_leader(ITEM, MEMBERS)

    assert {choose(SCORES, (False, True), 0).member for _ in range(20)} == {1}
