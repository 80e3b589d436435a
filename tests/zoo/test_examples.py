"""What the embedded ensemble says that it can be asked: it answers every example right, with its own defaults."""

import re

import pytest

from service.configuration import load_settings
from tests.members import zoo
from tie_core.ensemble import Ensemble
from tie_core.zoo import ABOUT, EXAMPLES
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


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_answered_right_and_the_first_changes_its_leader(example: str) -> None:
    chosen = load_settings().default_ensemble
    ensemble = Ensemble(chosen.name, zoo(), chosen.defaults, chosen.policy_defaults)

    completed = ensemble.answer([{"role": "user", "content": example}])

    assert example in chosen.examples
    assert completed.answer == solved(example)
    assert completed.tie.switches > 0 or example != EXAMPLES[0]


def test_every_operation_is_named_where_it_is_asked_for() -> None:
    assert set(OPERATIONS) - set(re.findall(r"\w+", ABOUT)) == set()
