"""What the embedded ensemble says that it can be asked: it answers every example right, with its own defaults."""

import re

import pytest

from service.configuration import load_settings
from tests.members import zoo
from tie_core.ensemble import Ensemble
from tie_core.zoo import ABOUT, EXAMPLES, MEMBERS
from tie_core.zoo.skills import OPERATIONS
from tie_core.zoo.tables import TABLES
from tie_core.zoo.tracing import TRACING


def solved(prompt: str) -> str:
    """The digits of a right answer."""
    first, *rest = prompt.split("; ")
    if first[0].isdigit():
        return "".join(TABLES.operations[name](first.replace(" ", "")) for name in rest)
    results = [""]
    for name, word in (line.split() for line in (first, *rest)):
        results.append(TRACING.operations[name](results[-1] if word == "------" else word))
    return "".join(results)


def configured() -> Ensemble:
    """As the configuration has it where nobody configured anything."""
    chosen = load_settings().default_ensemble
    return Ensemble(chosen.name, zoo(), chosen.defaults, chosen.policy_defaults)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_answered_right_and_the_first_changes_its_leader(example: str) -> None:
    completed = configured().answer([{"role": "user", "content": example}])

    assert example in load_settings().default_ensemble.examples
    assert completed.answer == solved(example)
    assert completed.tie.switches > 0 or example != EXAMPLES[0]


def test_each_member_alone_gets_the_first_example_wrong() -> None:
    """So whichever of their answers were chosen, it would be wrong: together they are right by a relay."""
    ensemble, question = configured(), [{"role": "user", "content": EXAMPLES[0]}]

    alone = [ensemble.answer(question, models=[name]).answer for name in MEMBERS]

    assert [answer for answer in alone if answer == solved(EXAMPLES[0])] == []
    assert all(len(answer) == len(solved(EXAMPLES[0])) for answer in alone)


def test_every_operation_is_named_where_it_is_asked_for() -> None:
    assert set(OPERATIONS) - set(re.findall(r"\w+", ABOUT)) == set()
