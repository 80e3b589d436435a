"""A run in plain words: the reasons that need more than the story's two members."""

import dataclasses
from typing import Any

import pytest

from service.lines import reason_line
from tests.service import story

LOST = {"final_rule": "most_selected", "wins": {"digit": 1, "pair": 0, "third": 5}}


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (LOST, "of those that were there to the end, it led the most rounds (digit 1, pair 0)"),
        (
            LOST | {"wins": {"digit": 1, "pair": 1, "third": 1}},
            "of those that were there to the end, it and pair led the most rounds (digit 1, pair 1);"
            " of these it wavered least",
        ),
    ],
)
def test_rounds_that_a_lost_member_led_do_not_count(facts: dict[str, Any], why: str) -> None:
    told = dataclasses.replace(story.completed().tie, **facts)

    assert reason_line(told) == f"digit gives the answer: {why}"
