"""The door: what it refuses is never parsed, what it leaves to others, and that every place it takes is given back."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import service.door
import service.server
from service.admission import Place
from service.bounded import BoundedConnection
from service.door import Door, TurnedAway
from service.keys import add_key
from service.settings import AuthSettings, LimitSettings, ServerSettings
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import GENERATE, PROMPT, Served, connect, serving, wait_until
from tests.service.test_bursts import held
from tests.service.test_connections import refusal

BODY = json.dumps({"prompt": PROMPT}).encode()
LIMITS = LimitSettings(max_running=1, max_waiting=1, waiting_reserve=0, max_header_bytes=2_000, max_headers=20)
NUM_PLACES = 2


def raw(
    body: bytes = BODY,
    *more: str,
    path: str = GENERATE,
    version: str = "1.1",
    length: str | None = None,
    keep: bool = False,
) -> bytes:
    lines = [f"POST {path} HTTP/{version}", "host: localhost", "content-type: application/json", *more]
    lines += [] if keep else ["connection: close"]
    lines.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join((*lines, "", "")).encode() + body


def exchange(served: Served, *parts: bytes) -> bytes:
    with connect(served) as connection:
        for part in parts:
            connection.sendall(part)
        return connection.makefile("rb").read()


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


@contextmanager
def full(served: Served, loader: FakeLoader, **options: Any) -> Iterator[list[Future[httpx.Response]]]:
    """Meanwhile every place is taken."""
    loader.faults.gate.clear()
    with ThreadPoolExecutor(NUM_PLACES) as pool:
        taken = [pool.submit(served.post, {"prompt": PROMPT}, **options) for _ in range(NUM_PLACES)]
        try:
            wait_until(lambda: len(served.service.runs) == NUM_PLACES and served.service.runs.num_preparing == 0)
            yield taken
        finally:
            loader.faults.gate.set()
        assert [each.result().status_code for each in taken] == [200] * NUM_PLACES


@pytest.fixture
def loader() -> FakeLoader:
    return FakeLoader()


@pytest.fixture
def served(loader: FakeLoader) -> Iterator[Served]:
    with serving(fake_settings(limits=LIMITS), loader) as served:
        yield served


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What h11 is given."""
    parts: list[bytes] = []
    receive = BoundedConnection.receive_data

    def note(self: BoundedConnection, data: bytes) -> None:
        parts.append(data)
        receive(self, data)

    monkeypatch.setattr(BoundedConnection, "receive_data", note)
    return parts


@pytest.mark.parametrize("path", [GENERATE, "/v1/chat/completions", "/v1/completions"])
def test_without_a_place_a_request_is_refused_unparsed(
    served: Served, loader: FakeLoader, parsed: list[bytes], path: str
) -> None:
    """And told as any other: an answer in the one shape, one line, and counted by its reason."""
    with full(served, loader):
        parsed.clear()
        answer = exchange(served, raw(BODY, "x-request-id: mine", path=path))

        assert refusal(answer) == (503, "queue_full")
        assert parsed == []
        head = dict(line.split(": ", 1) for line in answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:])
        assert 1 <= int(head["retry-after"]) <= 60
        wait_until(lambda: any(line.get("request_id") == head["x-request-id"] for line in served.lines))
        (line,) = [line for line in served.lines if line.get("request_id") == head["x-request-id"]]
        assert (line["method"], line["route"], line["status"]) == ("POST", path, 503)
        assert (line["error"], line["client_request_id"]) == ("queue_full", "mine")
        assert 0 <= line["duration_ms"] < 10_000
        assert served.metric("tie_admission_rejections_total", reason="queue_full") == 1
        assert served.metric("tie_request_errors_total", type="service_unavailable_error") == 1


@pytest.mark.parametrize(
    "parts",
    [
        (raw(BODY)[:50], raw(BODY)[50:]),
        (raw(BODY).replace(b"\r\n", b"\n"),),
        (raw(BODY, "a: b", "A: c"),),
        (raw(BODY, path=f"{GENERATE}?a=b"),),
        (raw(BODY, "idempotency-key: new"),),
    ],
    ids=["half", "bare line feeds", "a header twice", "a query", "idempotent"],
)
def test_what_the_door_does_not_understand_is_refused_further_in(
    served: Served, loader: FakeLoader, parsed: list[bytes], parts: tuple[bytes, ...]
) -> None:
    with full(served, loader), connect(served) as connection:
        parsed.clear()
        for part in parts:
            connection.sendall(part)
            wait_until(lambda: len(parsed) > 0)

        assert refusal(connection.makefile("rb").read()) == (503, "queue_full")


@pytest.mark.parametrize(
    "request_bytes",
    [
        raw(),
        raw(version="1.0"),
        raw(BODY, "expect: 100-continue")[: -len(BODY)],
        raw(BODY, "transfer-encoding: chunked"),
    ],
    ids=["plain", "HTTP/1.0", "the body is still to come", "chunks"],
)
def test_without_a_place_nobody_waits_for_a_body(served: Served, loader: FakeLoader, request_bytes: bytes) -> None:
    with full(served, loader), connect(served) as connection:
        connection.sendall(request_bytes)

        assert refusal(connection.makefile("rb").read()) == (503, "queue_full")


def test_a_replay_needs_no_place(served: Served, loader: FakeLoader) -> None:
    key = {"idempotency-key": "once"}
    first = served.post({"prompt": PROMPT}, headers=key).json()
    with full(served, loader):
        again = served.post({"prompt": PROMPT}, headers=key)

        assert again.status_code == 200
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json()["id"] == first["id"]


def test_every_request_of_a_connection_is_shown_to_the_door(
    served: Served, loader: FakeLoader, parsed: list[bytes]
) -> None:
    with connect(served) as connection:
        reader = connection.makefile("rb")
        connection.sendall(raw(keep=True))
        assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
        headers = dict(line.decode().strip().split(": ") for line in iter(reader.readline, b"\r\n"))
        reader.read(int(headers["content-length"]))
        with full(served, loader):
            parsed.clear()
            connection.sendall(raw(keep=True))

            assert refusal(reader.read()) == (503, "queue_full")
            assert parsed == []


def test_a_request_behind_another_one_takes_a_place_of_its_own(served: Served) -> None:
    answer = exchange(served, raw(keep=True) + raw())

    assert answer.count(b"HTTP/1.1 200 OK") == 2
    wait_until(lambda: len(served.service.runs) == 0)


def test_behind_a_refusal_nothing_of_a_connection_is_read(served: Served, loader: FakeLoader) -> None:
    with full(served, loader):
        answer = exchange(served, raw(keep=True) + raw())

        assert refusal(answer) == (503, "queue_full")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (raw(b"{"), 400),
        (raw().replace(b"application/json", b"text/plain"), 415),
        (raw(length="12a"), 400),
        (raw(length="-1"), 400),
        (raw(length="99999999999999999999"), 413),
        (raw(BODY, "transfer-encoding: gzip"), 400),
        (raw(), 200),
    ],
    ids=["bad body", "media type", "no length", "negative length", "huge length", "unknown coding", "right"],
)
def test_a_place_is_given_back_however_a_request_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch, request_bytes: bytes, status: int
) -> None:
    monkeypatch.setattr(service.door, "BODY_SECONDS", 600)
    for _ in range(NUM_PLACES + 1):
        answer = exchange(served, request_bytes)
        assert status_of(answer) == status, answer
        wait_until(lambda: len(served.service.runs) == 0)

    assert status_of(exchange(served, raw())) == 200


@pytest.mark.parametrize("request_bytes", [raw(), raw()[: -len(BODY)]], ids=["whole", "without its body"])
def test_a_place_is_given_back_when_the_client_leaves_before_it_is_parsed(
    served: Served, monkeypatch: pytest.MonkeyPatch, request_bytes: bytes
) -> None:
    monkeypatch.setattr(service.door, "BODY_SECONDS", 600)
    monkeypatch.setattr(served.server.config.lull, "put", lambda work: None)  # type: ignore[attr-defined]
    with ExitStack() as stack:
        for connection in [stack.enter_context(connect(served)) for _ in range(NUM_PLACES)]:
            connection.sendall(request_bytes)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset at close
        wait_until(lambda: served.service.runs.num_preparing == NUM_PLACES)

    wait_until(lambda: len(served.server.server_state.connections) <= 1)
    assert len(served.service.runs) == 0


def test_a_place_is_not_kept_for_a_body_that_does_not_come(served: Served) -> None:
    with ExitStack() as stack:
        for _ in range(NUM_PLACES):
            stack.enter_context(connect(served)).sendall(raw()[: -len(BODY)])
        wait_until(lambda: served.service.runs.num_preparing == NUM_PLACES)

        wait_until(lambda: served.service.runs.num_preparing == 0, 5)
        assert status_of(exchange(served, raw())) == 200


def test_a_body_that_comes_late_is_answered_all_the_same(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(raw()[: -len(BODY)])
        time.sleep(2 * service.door.BODY_SECONDS)
        connection.sendall(BODY)

        assert status_of(connection.recv(65_536)) == 200


def test_of_a_burst_that_the_door_sees_no_more_is_parsed_than_fits(
    served: Served, loader: FakeLoader, parsed: list[bytes]
) -> None:
    num_asked = 30
    served.client.close()
    loader.faults.gate.clear()
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(served)) for _ in range(num_asked)]
        wait_until(lambda: len(served.server.server_state.connections) >= num_asked)
        with held(served):
            for connection in connections:
                connection.sendall(raw(BODY))
        wait_until(lambda: served.metric("tie_admission_rejections_total", reason="queue_full") > 0)
        wait_until(lambda: len(served.service.runs) == NUM_PLACES and served.service.runs.num_preparing == 0)
        loader.faults.gate.set()
        statuses = [status_of(connection.makefile("rb").read()) for connection in connections]

    assert (statuses.count(200), statuses.count(503)) == (NUM_PLACES, num_asked - NUM_PLACES)
    assert len(parsed) == NUM_PLACES
    wait_until(lambda: sum(line.get("error") == "queue_full" for line in served.lines) == num_asked - NUM_PLACES)


def test_a_probe_passes_a_burst_at_the_door(
    loader: FakeLoader, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.server, "KNOCKS_A_TURN", 4)
    with serving(fake_settings(limits=LIMITS), loader) as served, full(served, loader), ExitStack() as stack:
        door: Door = served.server.config.door  # type: ignore[attr-defined]
        knock = door.knock
        num_knocks: list[int] = []  # how much was parsed when the door saw each request

        def note(received: bytes) -> Place | TurnedAway | None:
            num_knocks.append(len(parsed))
            return knock(received)

        monkeypatch.setattr(door, "knock", note)
        connections = [stack.enter_context(connect(served)) for _ in range(40)]
        wait_until(lambda: len(served.server.server_state.connections) >= len(connections))
        parsed.clear()
        with held(served):
            for connection in connections[:-1]:
                connection.sendall(raw())
            connections[-1].sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        statuses = [status_of(connection.makefile("rb").read()) for connection in connections]

    assert statuses == [503] * 39 + [200]
    assert num_knocks.count(0) <= 8


@pytest.mark.parametrize("given", [None, "Bearer tie-wrong", "Basic abc"])
def test_without_a_key_nobody_hears_that_there_is_no_place(
    tmp_path: Path, loader: FakeLoader, given: str | None
) -> None:
    key = {"authorization": f"Bearer {add_key(tmp_path / 'keys.toml', 'flood')}"}
    settings = fake_settings(limits=LIMITS, auth=AuthSettings(keys_file=tmp_path / "keys.toml"))
    with serving(settings, loader) as served, full(served, loader, headers=key):
        answer = exchange(served, raw(BODY, *([] if given is None else [f"authorization: {given}"])))

        assert status_of(answer) == 401


def test_with_a_key_the_log_says_whose_it_was(tmp_path: Path, loader: FakeLoader, parsed: list[bytes]) -> None:
    key = add_key(tmp_path / "keys.toml", "flood")
    settings = fake_settings(limits=LIMITS, auth=AuthSettings(keys_file=tmp_path / "keys.toml"))
    headers = {"authorization": f"Bearer {key}"}
    with serving(settings, loader) as served, full(served, loader, headers=headers):
        parsed.clear()
        answers = [exchange(served, raw(BODY, f"authorization: Bearer {key}")) for _ in range(5)]

        assert {refusal(answer) for answer in answers} == {(503, "queue_full")}
        assert len(parsed) <= 1  # once in a second the file is looked at first
        wait_until(lambda: sum(line.get("error") == "queue_full" for line in served.lines) == 5)
        assert {line["key"] for line in served.lines if line.get("error") == "queue_full"} == {"flood"}
        assert key not in served.log.getvalue()


def test_a_key_that_took_the_last_places_leaves_the_reserve_to_others(tmp_path: Path, loader: FakeLoader) -> None:
    """What a flood has at the door counts as its own."""
    flood, other = (add_key(tmp_path / "keys.toml", name) for name in ("flood", "other"))
    limits = LimitSettings(max_running=1, max_waiting=3, waiting_reserve=0.3)
    settings = fake_settings(limits=limits, auth=AuthSettings(keys_file=tmp_path / "keys.toml"))
    with serving(settings, loader) as served, ExitStack() as stack:
        stack.callback(loader.faults.gate.set)
        loader.faults.gate.clear()
        connections = [stack.enter_context(connect(served)) for _ in range(12)]
        wait_until(lambda: len(served.server.server_state.connections) >= len(connections))
        served.client.get("/v1/models", headers={"authorization": f"Bearer {flood}"})  # the file has been looked at
        with held(served):
            for connection in connections[:-1]:
                connection.sendall(raw(BODY, f"authorization: Bearer {flood}"))
            connections[-1].sendall(raw(BODY, f"authorization: Bearer {other}"))
        num_refused = partial(served.metric, "tie_admission_rejections_total", reason="queue_full")
        wait_until(lambda: len(served.service.runs) + num_refused() == len(connections))
        loader.faults.gate.set()
        statuses = [status_of(connection.makefile("rb").read()) for connection in connections]

    assert statuses[-1] == 200
    assert statuses[:-1].count(200) in (2, 3)  # whether the other one came last or not


def test_under_another_name_nobody_hears_that_there_is_no_place(loader: FakeLoader) -> None:
    settings = fake_settings(limits=LIMITS, server=ServerSettings(allowed_hosts=["tie.example"]))
    with serving(settings, loader) as served, full(served, loader, headers={"host": "tie.example"}):
        assert (
            refusal(exchange(served, raw(BODY, "host: tie.example").replace(b"host: localhost\r\n", b"", 1)))[0] == 503
        )
        assert status_of(exchange(served, raw(BODY))) == 421


def test_a_server_that_drains_says_so(served: Served, loader: FakeLoader) -> None:
    with full(served, loader):
        served.service.runs.shut()

        assert refusal(exchange(served, raw(BODY))) == (503, "draining")


def test_a_place_is_given_back_while_the_client_does_not_read(served: Served) -> None:
    """Its answer cannot be sent, since nobody reads the ones before."""
    address = served.client.base_url
    assert address.port is not None
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        connection.connect((address.host, address.port))
        is_paused = False
        while not is_paused:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
            time.sleep(0.05)
            is_paused = any(each.flow.write_paused for each in served.server.server_state.connections if each.flow)
        before = {id(task) for task in served.server.server_state.tasks}
        connection.sendall(raw().replace(b"application/json", b"text/plain", 1))

        wait_until(lambda: any(id(task) not in before for task in set(served.server.server_state.tasks)))
        wait_until(lambda: served.service.runs.num_preparing == 0, 3)
