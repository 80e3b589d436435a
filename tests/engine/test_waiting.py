"""Who waits is served in turn by what each tenant has been given, and in order within a tenant."""

from types import SimpleNamespace
from typing import Any

import pytest

from tie_core.engine import waiting
from tie_core.engine.waiting import Waiting


@pytest.fixture(autouse=True)
def costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "cost_of", lambda request: SimpleNamespace(positions=request.positions))


def run(name: str, tenant: str = "", positions: int = 10) -> Any:
    return SimpleNamespace(key=name, request=SimpleNamespace(id=name, tenant=tenant, positions=positions))


def queue(*runs: Any) -> Waiting:
    queue = Waiting()
    for each in runs:
        queue.put(each)
    return queue


def taken(queue: Waiting) -> list[str]:
    return [queue.take().request.id for _ in range(len(queue))]


def test_one_tenant_is_first_come_first_served() -> None:
    assert taken(queue(run("c"), run("a"), run("b"))) == ["c", "a", "b"]


def test_a_flood_does_not_hold_back_who_comes_later() -> None:
    flood = [run(f"a{number}", "a") for number in range(100)]
    waiting = queue(*flood)
    for _ in range(3):
        waiting.take()

    waiting.put(run("b0", "b"))
    waiting.put(run("b1", "b"))

    assert taken(waiting)[:4] in (["b0", "a3", "b1", "a4"], ["a3", "b0", "a4", "b1"], ["b0", "a3", "a4", "b1"])


def test_turns_are_by_cost_and_not_by_number() -> None:
    large = [run(f"a{number}", "a", 40) for number in range(3)]
    small = [run(f"b{number}", "b", 10) for number in range(12)]

    order = taken(queue(*large, *small))

    assert [sum(name[0] == "b" for name in order[:count]) for count in (5, 10)] == [4, 8]


def test_who_was_away_has_saved_nothing_up() -> None:
    waiting = queue(run("b0", "b"), *(run(f"a{number}", "a") for number in range(10)))
    for _ in range(9):
        waiting.take()
    for number in range(1, 5):
        waiting.put(run(f"b{number}", "b"))

    assert "a8" in taken(waiting)[:2]


def test_a_place_is_what_comes_true_if_nobody_else_comes() -> None:
    runs = [run(f"{tenant}{number}", tenant, cost) for tenant, cost in (("a", 7), ("b", 20)) for number in range(6)]
    waiting = queue(*runs)
    waiting.take()
    waiting.remove("a3")

    places = {request_id: waiting.place(request_id) for request_id in (run.key for run in waiting.runs)}

    assert taken(waiting) == sorted(places, key=lambda request_id: places[request_id])
    assert sorted(places.values()) == list(range(1, 11))


def test_what_is_removed_is_gone() -> None:
    waiting = queue(run("a"), run("b"))

    waiting.remove("a")
    waiting.remove("nobody")

    assert ("a" in waiting, waiting.get("a"), len(waiting)) == (False, None, 1)
    assert taken(waiting) == ["b"]


def test_what_was_given_counts_on_when_nobody_waits_for_a_moment() -> None:
    waiting, order = Waiting(), []
    for number in range(20):
        waiting.put(run(f"a{number}", "a", 1_000))
        waiting.put(run(f"b{number}", "b", 1))
        order += [waiting.take().key, waiting.take().key]
        assert not waiting

    assert order[:2] == ["a0", "b0"]
    assert all(name[0] == "b" for name in order[2::2])


def test_of_what_is_even_nothing_is_kept() -> None:
    waiting = Waiting()
    for number in range(1_000):
        waiting.put(run("x", f"tenant-{number}"))
        waiting.take()
        waiting.put(run("y", "all"))
        waiting.take()
        assert len(waiting._tenants) <= 3

    waiting.put(run("x", "gone"))
    waiting.remove("x")
    assert "gone" not in waiting._tenants
