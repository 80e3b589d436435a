"""A key's quotas: windows that tell how long to wait, and that waiting so long helps."""

import math
import random
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import quotas
from service.keys import add_key
from service.quotas import Holder, Quota, Quotas, Window
from service.settings import AuthSettings, LimitSettings
from tests.service.fakes import FakeLoader, Faults, fake_settings
from tests.service.served import PROMPT, Served, serving, wait_until

SMALL = {"prompt": "x", "reasoning_length": 2, "answer": {"length": 2}, "models": ["zoo-llada"]}


def test_waiting_as_long_as_told_is_enough_and_no_less_is() -> None:
    chance, window, now = random.Random(1), Window(), 0.0
    spent: deque[tuple[float, int]] = deque()
    for _ in range(3_000):
        amount = chance.randint(1, 40)
        wait = window.wait(now, amount, 100)
        if wait > 0:
            assert window.wait(now + wait * 0.999, amount, 100) > 0
        now += wait
        assert window.wait(now, amount, 100) == 0
        window.spend(now, amount)
        spent.append((now, amount))
        while spent[0][0] + quotas.WINDOW_SECONDS <= now:
            spent.popleft()
        assert sum(each for _, each in spent) <= 100
        now += chance.uniform(0, 3)


def test_what_is_more_than_a_minutes_worth_never_fits() -> None:
    assert Window().wait(0.0, 101, 100) == math.inf


def test_without_quotas_nothing_is_kept() -> None:
    kept, anybody = Quotas(), Holder()
    for number in range(100):
        assert kept.wait(anybody, float(number), 1_000) == 0
        kept.spend(anybody, float(number), 1_000)

    assert not kept._requests
    assert not kept._positions


def test_callers_do_not_share_their_windows() -> None:
    kept, one = Quotas(), Quota(requests_per_minute=1)
    kept.spend(Holder("a", one), 0.0, 1)

    assert kept.wait(Holder("a", one), 1.0) == 59
    assert kept.wait(Holder("b", one), 1.0) == 0


KEYS = {"few": "requests_per_minute = 3", "small": "positions_per_minute = 400", "lone": "concurrent_requests = 1"}


@pytest.fixture
def keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Served, dict[str, dict[str, str]]]]:
    """A server whose minute is two seconds long, and the headers of each key."""
    monkeypatch.setattr(quotas, "WINDOW_SECONDS", 2.0)
    file, headers = tmp_path / "keys.toml", {}
    for name, quota in KEYS.items():
        headers[name] = {"authorization": f"Bearer {add_key(file, name)}"}
        file.write_text(file.read_text(encoding="utf-8").rstrip() + f"\n{quota}\n\n", encoding="utf-8")
    with serving(fake_settings(auth=AuthSettings(keys_file=file)), FakeLoader(Faults(seconds=0.01))) as served:
        yield served, headers


@pytest.mark.parametrize("name", ["few", "small"])
def test_beyond_a_quota_a_key_is_told_when_to_come_back(
    keyed: tuple[Served, dict[str, dict[str, str]]], name: str
) -> None:
    served, headers = keyed
    answers = [served.post(SMALL, headers=headers[name])]
    while answers[-1].status_code == 200 and len(answers) < 50:
        answers.append(served.post(SMALL, headers=headers[name]))
    refused = answers[-1]
    other = served.post(SMALL, headers=headers["lone"])
    time.sleep(int(refused.headers["retry-after"]))
    again = served.post(SMALL, headers=headers[name])

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert (other.status_code, again.status_code) == (200, 200)
    assert served.metric("tie_admission_rejections_total", reason="quota_exceeded") == 1


def test_a_request_larger_than_a_minutes_quota_is_told_the_figures(
    keyed: tuple[Served, dict[str, dict[str, str]]],
) -> None:
    served, headers = keyed

    refused = served.post({"prompt": PROMPT}, headers=headers["small"])

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "request_too_large")
    assert "400 are allowed" in refused.json()["error"]["message"]


def test_a_key_has_so_many_requests_at_once(keyed: tuple[Served, dict[str, dict[str, str]]]) -> None:
    served, headers = keyed
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(served.post, {"prompt": PROMPT}, headers=headers["lone"])
        wait_until(lambda: len(served.service.runs) == 1)
        refused = served.post({"prompt": PROMPT}, headers=headers["lone"])
        other = served.post(SMALL, headers=headers["few"])

    assert running.result().status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    assert other.status_code == 200
    assert served.post({"prompt": PROMPT}, headers=headers["lone"]).status_code == 200


def test_what_would_wait_behind_too_much_work_is_refused() -> None:
    loader = FakeLoader()
    limits = LimitSettings(max_running=1, max_waiting=100, max_waiting_positions=60_000)
    with serving(fake_settings(limits=limits), loader) as served, ThreadPoolExecutor(8) as pool:
        loader.faults.gate.clear()
        try:
            answers = [pool.submit(served.post, {"prompt": PROMPT})]
            wait_until(lambda: served.metric("tie_requests_running", ensemble="tie") == 1)
            for number in range(1, 3):
                answers.append(pool.submit(served.post, {"prompt": PROMPT}))
                wait_until(lambda number=number: len(served.service.runs) == number + 1)  # type: ignore[misc]
            refused, small = served.post({"prompt": PROMPT}), pool.submit(served.post, SMALL)
            wait_until(lambda: len(served.service.runs) == 4)
        finally:
            loader.faults.gate.set()

        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
        assert "60,000 may" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) >= 1
        assert [answer.result().status_code for answer in (*answers, small)] == [200] * 4


def test_one_request_has_a_bound_of_its_own() -> None:
    with serving(fake_settings(limits=LimitSettings(max_request_positions=5_000)), FakeLoader()) as served:
        refused, small = served.post({"prompt": PROMPT}), served.post(SMALL)

    assert (refused.status_code, refused.json()["error"]["code"], small.status_code) == (400, "request_too_large", 200)
    assert "5,000 are allowed" in refused.json()["error"]["message"]
