"""When to come back: by work that was really done, and for as much as has to end."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from service import admission as admission_module
from service.admission import Admission
from service.errors import ApiError
from service.run import Run
from service.settings import LimitSettings
from tie_core.errors import CancelledError
from tie_core.events import Completed, Failed

POSITIONS = 100


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(admission_module, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def completed(partial: bool = False) -> Any:
    end = Completed.__new__(Completed)
    object.__setattr__(end, "tie", SimpleNamespace(partial=partial))
    return end


def run(end: Any = None) -> Run:
    fields = {
        "positions": POSITIONS,
        "record": SimpleNamespace(end=end, started=0.0),
        "request": SimpleNamespace(tenant=""),
    }
    return cast(Run, SimpleNamespace(**fields))


def full(num_live: int) -> Admission:
    limits = LimitSettings(max_running=num_live, max_waiting=0)
    return Admission(limits, {str(number): run() for number in range(num_live)})


def told(admission: Admission) -> int:
    with pytest.raises(ApiError) as refused, admission.place():
        pass
    return int(refused.value.headers["retry-after"])


def test_with_all_places_taken_a_client_waits_for_one_of_them(clock: Clock) -> None:
    """A run of the live ones' kind ends every two seconds; all of them would take twenty."""
    admission = full(10)
    for _ in range(5):
        admission.note_end(run(completed()))
        clock.now += 2

    assert 2 <= told(admission) <= 3
    assert int(admission.unavailable("draining", "x").headers["retry-after"]) >= 20


@pytest.mark.parametrize("end", [Failed(CancelledError("x")), completed(partial=True)])
def test_what_was_cut_short_makes_nobody_come_back_sooner(clock: Clock, end: Any) -> None:
    admission, gamed = full(10), full(10)
    for _ in range(5):
        admission.note_end(run(completed()))
        gamed.note_end(run(completed()))
        for _ in range(10):
            gamed.note_end(run(end))
        clock.now += 10

    assert told(gamed) == told(admission) >= 10
