"""A key's quotas: how long to wait is told, waiting so long helps, and what is refused costs nothing."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from limits.storage import memory

from service import quotas
from service.keys import add_key
from service.quotas import Holder, Quota, Quotas, UsedUp
from service.routes import tie
from service.settings import AuthSettings, LimitSettings
from tests.service.fakes import FakeLoader, Faults, fake_settings
from tests.service.served import PROMPT, Served, serving, wait_until

SMALL = {"prompt": "x", "reasoning_length": 2, "answer": {"length": 2}, "models": ["zoo-llada"]}


class Clock:
    """The time of day, for the quotas and the library that counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.25
        fake = SimpleNamespace(time=lambda: self.now)
        monkeypatch.setattr(quotas, "time", fake)
        monkeypatch.setattr(memory, "time", fake)


def let_in(kept: Quotas, holder: Holder, positions: int) -> None:
    """As admission does it."""
    kept.count(holder)
    assert "positions" not in [used.what for used in kept.used_up(holder, positions)]
    kept.spend(holder, positions)


def wait(kept: Quotas, holder: Holder, positions: int) -> int:
    """Seconds until such a request is let in."""
    return max((used.seconds for used in kept.used_up(holder, positions)), default=0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("quota", "most", "most_in_any_minute"),
    [(Quota(requests_per_minute=20), 1, 20), (Quota(positions_per_minute=100), 40, 200)],
)
def test_waiting_as_long_as_told_is_enough(clock: Clock, quota: Quota, most: int, most_in_any_minute: int) -> None:
    """Positions: a full minute's worth at the end of one minute and again at the start of the next is the most."""
    chance, kept, holder, began = random.Random(1), Quotas(), Holder("a", quota), clock.now
    spent: list[tuple[float, int]] = []
    num_refused = 0
    while len(spent) < 2_000:
        amount = chance.randint(1, most)
        seconds = wait(kept, holder, amount)
        assert 0 <= seconds <= quotas.WINDOW_SECONDS
        num_refused += seconds > 0
        clock.now += seconds
        assert wait(kept, holder, amount) == 0
        let_in(kept, holder, amount)
        spent.append((clock.now, amount))
        clock.now += chance.uniform(0, 3)

    for last, (end, _) in enumerate(spent):
        within = [amount for at, amount in spent[: last + 1][-250:] if at > end - quotas.WINDOW_SECONDS]
        assert sum(within) <= most_in_any_minute
    num_minutes = (clock.now - began) / 60
    assert sum(amount for _, amount in spent) <= most_in_any_minute / (2 if most > 1 else 1) * (num_minutes + 1)
    assert num_refused > 50


def test_what_is_refused_is_not_charged(clock: Clock) -> None:
    kept, holder = Quotas(), Holder("a", Quota(requests_per_minute=2, positions_per_minute=100))
    let_in(kept, holder, 60)
    for _ in range(50):
        assert wait(kept, holder, 41) == 60

    assert wait(kept, holder, 40) == 0
    let_in(kept, holder, 40)
    assert wait(kept, holder, 0) == 60


def test_all_quotas_that_are_used_up_are_told(clock: Clock) -> None:
    kept, holder = Quotas(), Holder("a", Quota(requests_per_minute=2, positions_per_minute=100))
    let_in(kept, holder, 60)
    clock.now += 10
    let_in(kept, holder, 30)

    assert kept.used_up(holder, 10) == [UsedUp("requests", 2, 50)]
    assert kept.used_up(holder, 11) == [UsedUp("requests", 2, 50), UsedUp("positions", 100, 50)]


def test_callers_do_not_share_their_minute(clock: Clock) -> None:
    kept, one = Quotas(), Quota(requests_per_minute=1, positions_per_minute=1)
    let_in(kept, Holder("a", one), 1)
    clock.now += 1

    assert wait(kept, Holder("a", one), 1) == 59
    assert wait(kept, Holder("b", one), 1) == 0


def test_a_million_positions_are_one_number(clock: Clock) -> None:
    kept, anybody, holder = Quotas(), Holder(), Holder("a", Quota(positions_per_minute=10**12))
    for _ in range(100):
        let_in(kept, anybody, 1_000)
    assert (len(kept._storage.storage), len(kept._storage.events)) == (0, 0)

    for _ in range(1_000):
        assert wait(kept, holder, 1_000_000) == 0
        let_in(kept, holder, 1_000_000)

    assert list(kept._storage.storage.values()) == [10**9]
    assert not any(kept._storage.events.values())


KEYS = {"few": "requests_per_minute = 3", "small": "positions_per_minute = 400", "lone": "concurrent_requests = 1"}


@pytest.fixture
def keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Served, dict[str, dict[str, str]]]]:
    """A server whose minute is two seconds long, and the headers of each key."""
    monkeypatch.setattr(quotas, "WINDOW_SECONDS", 2)
    file, headers = tmp_path / "keys.toml", {}
    for name, quota in KEYS.items():
        headers[name] = {"authorization": f"Bearer {add_key(file, name)}"}
        file.write_text(file.read_text(encoding="utf-8").rstrip() + f"\n{quota}\n\n", encoding="utf-8")
    with serving(fake_settings(auth=AuthSettings(keys_file=file)), FakeLoader(Faults(seconds=0.01))) as served:
        yield served, headers


@pytest.mark.parametrize(("name", "bound"), [("few", "3 requests a minute"), ("small", "400 positions a minute")])
def test_beyond_a_quota_a_key_is_told_which_and_when_to_come_back(
    keyed: tuple[Served, dict[str, dict[str, str]]], name: str, bound: str
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
    assert f"quota of {bound} leaves" in refused.json()["error"]["message"]
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


def test_a_request_counts_whatever_becomes_of_it(keyed: tuple[Served, dict[str, dict[str, str]]]) -> None:
    """It has been parsed and tokenised then."""
    served, headers = keyed
    bad = {"prompt": PROMPT, "gen_length": -1}

    statuses = [served.post(bad, headers=headers["few"]).status_code for _ in range(4)]

    assert statuses == [400, 400, 400, 429]


def test_joining_a_run_is_a_request_and_parses_nothing(
    keyed: tuple[Served, dict[str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, headers = keyed
    once = headers["few"] | {"idempotency-key": "k-1"}
    first = served.post(SMALL, headers=once)
    parsed: list[bytes] = []
    monkeypatch.setattr(tie, "parse_generate", lambda raw: parsed.append(raw))

    joined = [served.post(SMALL, headers=once) for _ in range(3)]

    assert [answer.status_code for answer in (first, *joined)] == [200, 200, 200, 429]
    assert joined[1].json() == first.json()
    assert not parsed


def test_a_key_has_so_many_requests_at_once(keyed: tuple[Served, dict[str, dict[str, str]]]) -> None:
    served, headers = keyed
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(served.post, {"prompt": PROMPT}, headers=headers["lone"])
        wait_until(lambda: len(served.service.runs) == 1)
        refused = served.post({"prompt": PROMPT}, headers=headers["lone"])
        other = served.post(SMALL, headers=headers["few"])

    assert running.result().status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    assert "quota of 1 requests at once" in refused.json()["error"]["message"]
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
