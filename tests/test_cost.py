"""A request's cost, told before it runs: never less than what it takes, and exact where it can be."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.fakes import NAMES, OPTIONS, Faults, scripted_member
from tie_core.cost import Cost, cost_of
from tie_core.ensemble import Ensemble, run_plainly
from tie_core.member import Member
from tie_core.request import Request

FREE = {"reasoning": None, "answer": None}


class Counted:
    """Members whose forwards and positions are counted."""

    def __init__(self, *names: str) -> None:
        self.forwards = self.positions = 0
        self.members = [self._counting(scripted_member(name, Faults())) for name in names]
        self.ensemble = Ensemble("tie", self.members, OPTIONS)

    def _counting(self, member: Any) -> Member:
        counted = self

        class Counting(type(member)):  # type: ignore[misc]
            def predict(self, queries: Any) -> Any:
                counted.forwards += len(queries)
                counted.positions += sum(len(query.canvas.ids) for query in queries)
                return super().predict(queries)

        return Counting(**vars(member))

    def spent(self, request: Request) -> Cost:
        for _ in run_plainly(request):
            pass
        return Cost(self.forwards, self.positions)


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    policy = draw(st.sampled_from(["top_k", "threshold"]))
    chosen: dict[str, Any] = {
        "policy": policy,
        "interval": draw(st.integers(1, 50)),
        "block_size": draw(st.sampled_from([4, 8, 42])),
        "relay_boundary": draw(st.sampled_from(["auto", "block", "step"])),
        "score": draw(st.sampled_from(["tcc", "top1", "entropy"])),
        "cross_model": draw(st.booleans()),
        "fill_end": draw(st.booleans()),
    }
    return chosen | ({"k": draw(st.integers(1, 5))} if policy == "top_k" else {"tau": draw(st.floats(0.5, 0.95))})


@settings(max_examples=60, deadline=None)
@given(options(), st.sampled_from([NAMES, NAMES[:1], (NAMES[0], f"{NAMES[0]}")]), st.integers(0, 999))
def test_no_request_takes_more_than_its_cost(chosen: dict[str, Any], names: tuple[str, ...], seed: int) -> None:
    counted = Counted(*dict.fromkeys(names))
    members = counted.members if len(set(names)) == len(names) else [*counted.members, renamed(counted)]
    ensemble = Ensemble("tie", members, OPTIONS)
    request = ensemble.request(prompt=f"rev {seed}", **chosen)

    cost, spent = cost_of(request), counted.spent(request)

    assert spent.forwards <= cost.forwards
    assert spent.positions <= cost.positions


def renamed(counted: Counted) -> Member:
    """A second member with the same vocabulary: relays copy ids."""
    return replace(counted.members[0], name="twin")


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("score", "cross_model"), [("tcc", True), ("top1", True)])
def test_top_k_over_one_vocabulary_is_told_exactly(k: int, score: str, cross_model: bool) -> None:
    counted = Counted(NAMES[0])
    ensemble = Ensemble("tie", [*counted.members, renamed(counted)], OPTIONS)
    request = ensemble.request(prompt="rev 314159", k=k, score=score, cross_model=cross_model)

    cost, spent = cost_of(request), counted.spent(request)

    assert spent.forwards <= cost.forwards <= spent.forwards * (1 if score == "tcc" else 1.15)


def test_over_different_vocabularies_it_stays_within_four_times(figure: Callable[[str], None]) -> None:
    counted = Counted(*NAMES)
    request = counted.ensemble.request(prompt="rev 314159; inc 271828; add 141421")

    cost, spent = cost_of(request), counted.spent(request)

    figure(f"cost: {cost.forwards} forwards reserved, {spent.forwards} made by two members that transcode")
    assert spent.forwards <= cost.forwards <= 4 * spent.forwards
