"""Faults behind a real server: what clients, probes and metrics are told; and the self-test before it is ready."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.loading import Loaded, start
from service.settings import LimitSettings, Settings
from tests.members import zoo
from tests.reliability.faulty import MARK, OF_A_WORKER, REASONS, Fault, FaultKind, faulty
from tests.service.served import PROMPT, Served, serving, wait_until
from tie_core.engine.observer import Observer
from tie_core.member import Member, Pack
from tie_core.prediction import Columns

KINDS: tuple[FaultKind, ...] = ("exception", "death", "not_a_number", "out_of_memory", "wrong_shape", "stall")
TOTAL = 42  # masks of the zoo's canvas
MID_ROUND = TOTAL - 11
READY_SECONDS = 5.0
STALL_SECONDS = 2.5  # from which a forward that takes so long is a fault
TARGET = {"prompt": f"{PROMPT}; {MARK}"}
MATES = [{"prompt": f"rev {number}14159; inc 271828; add 141421"} for number in range(4)]


class Loading:
    """Puts members on air that can be made to fail."""

    def __init__(self, *members: Member) -> None:
        self.members = members

    def __call__(self, settings: Settings, observer: Observer) -> Loaded:
        members: Mapping[str, Member] = {member.name: member for member in self.members}
        return start(settings, observer, members, dict.fromkeys(members, 0.1))


@pytest.fixture(scope="module")
def on_air() -> Iterator[tuple[Served, Fault]]:
    first, *others = zoo()
    member = faulty(first)
    with serving(Settings(limits=LimitSettings(stall_seconds=STALL_SECONDS)), Loading(member, *others)) as served:
        yield served, member.fault


def ready_after(served: Served, fault: Fault) -> float:
    """Seconds from the moment the fault struck."""
    wait_until(lambda: served.client.get("/readyz").status_code == 200, 20)
    return time.monotonic() - fault.struck_at


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_told_and_the_server_is_ready_again(
    on_air: tuple[Served, Fault], kind: FaultKind, numbers: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    if KINDS.index(kind) >= numbers(2, len(KINDS)):
        pytest.skip("one of those that only --full asks for")
    served, fault = on_air
    reason = REASONS.get(kind, kind)
    labels = {"model": "zoo-llada", "reason": reason}
    counted = served.metric("tie_degraded_requests_total", **labels)
    restarted = served.metric("tie_worker_restarts_total", model="zoo-llada")
    alone = [served.post(mate).json() for mate in MATES]
    fault.arm(kind, MID_ROUND)

    with ThreadPoolExecutor(len(MATES) + 1) as pool:
        hit, *others = [pool.submit(served.events, asked) for asked in (TARGET, *MATES)]
        events, told = hit.result(), [other.result()[-1] for other in others]
    seconds = ready_after(served, fault)
    fault.disarm()

    tie = events[-1]["tie"]
    assert tie["degraded"] is True
    assert {"round": 2, "model": "zoo-llada", "reason": reason} in tie["lost"]
    rounds = {event["round"]: event for event in events if event["type"] == "tie.round"}
    assert rounds[2]["lost"] == [loss for loss in tie["lost"] if loss["round"] == 2]
    assert list(rounds[2]["scores"]) == ["zoo-dream", "zoo-qwen3"]
    assert seconds < READY_SECONDS + (STALL_SECONDS if kind == "stall" else 0.0)
    assert served.metric("tie_degraded_requests_total", **labels) > counted
    if kind in OF_A_WORKER:
        assert served.metric("tie_worker_restarts_total", model="zoo-llada") > restarted
    else:
        assert [(end["text"], end["tie"]) for end in told] == [(end["text"], end["tie"]) for end in alone]
    figure(f"faults over HTTP: {kind} told as {reason}, ready {seconds:.2f} s after it struck")


def test_the_only_model_left_to_ask_is_a_typed_error_that_may_be_tried_again(on_air: tuple[Served, Fault]) -> None:
    served, fault = on_air
    fault.arm("death", MID_ROUND)

    response = served.post({**TARGET, "models": ["zoo-llada"]})
    ready_after(served, fault)
    fault.disarm()

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "no_member_left"
    assert int(response.headers["retry-after"]) >= 1
    assert MARK not in response.text


def test_fewer_models_than_asked_for_are_a_typed_error(on_air: tuple[Served, Fault]) -> None:
    served, fault = on_air
    fault.arm("exception", MID_ROUND)

    response = served.post({**TARGET, "tie": {"min_models": 3}})
    fault.disarm()

    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_member_left")
    too_many = served.post({**TARGET, "tie": {"min_models": 4}})
    assert (too_many.status_code, too_many.json()["error"]["param"]) == (400, "tie.min_models")


def test_a_member_that_is_down_makes_the_server_unready(on_air: tuple[Served, Fault]) -> None:
    served, fault = on_air
    told = []
    for _ in range(3):  # the second death in a row is not followed by a start at once
        fault.arm("death", TOTAL)
        assert served.post({**TARGET, "models": ["zoo-llada"]}).status_code == 503
        told.append(served.client.get("/readyz"))
    fault.disarm()

    assert told[-1].status_code == 503
    assert told[-1].json()["error"]["code"] == "member_down"
    assert "zoo-llada" in told[-1].json()["error"]["message"]
    assert ready_after(served, fault) < READY_SECONDS
    assert served.post(MATES[0]).json()["tie"]["degraded"] is False


class Unlike(Member):
    """Says something else in the engine than by itself."""

    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        if not threading.current_thread().name.startswith("tie-worker"):
            return columns
        digits = [self.vocabulary.encode(str(digit))[0] for digit in range(2)]
        other = np.where(columns.proposals == digits[0], digits[1], digits[0])
        return replace(columns, proposals=other)


class Broken(Member):
    """Knows no numbers."""

    def read(self, pack: Pack) -> Columns:
        columns = super().read(pack)
        return replace(columns, is_finite=np.zeros_like(columns.is_finite))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Unlike, "zoo-llada answers otherwise in the engine than by itself"),
        (Broken, "zoo-llada (not_finite) gave no answer"),
    ],
)
def test_a_server_whose_members_answer_wrong_is_never_ready(kind: Any, words: str) -> None:
    first, *others = zoo()
    member = kind(first.name, first.model, first.vocabulary)
    with serving(Settings(), Loading(member, *others), until_ready=False) as served:
        wait_until(lambda: served.service.lifecycle.phase == "failed", 60)

        assert any(words in line.get("error", "") for line in served.lines)
