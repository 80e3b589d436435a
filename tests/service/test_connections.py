"""What a connection may do before any route sees it: in one shape, in time, and within bounds."""

import gc
import json
import select
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

from service.bounded import BoundedConnection
from service.protocol import TURN_BYTES, Connection
from service.settings import LimitSettings
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import GENERATE, Served, connect, serving, wait_until

SECRET = "zanzibar"
LIMITS = LimitSettings(header_seconds=0.5, max_headers=20, max_header_bytes=4_000, max_connections=8)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(limits=LIMITS), FakeLoader()) as served:
        yield served


def exchange(served: Served, *parts: bytes) -> bytes:
    with connect(served) as connection:
        for part in parts:
            connection.sendall(part)
        return connection.makefile("rb").read()


def refusal(answer: bytes) -> tuple[int, str]:
    """The status and code of a lone answer, which has the one shape and an id."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert headers["x-request-id"].startswith("tie-")
    assert headers["content-type"] == "application/json"
    assert int(headers["content-length"]) == len(body)
    return int(lines[0].split()[1]), error["code"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        f"GET /{SECRET}\0 HTTP/1.1\r\nhost: x\r\n\r\n".encode(),
        b"GET /livez HTTP/1.1\r\n\r\n",  # no host
        f"GET /livez HTTP/1.1\r\nhost: x\r\n{SECRET}\r\n\r\n".encode(),
        b"POST /v1/tie/generate HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /v1/tie/generate HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/tie/generate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_one_shape(served: Served, raw: bytes) -> None:
    answer = exchange(served, raw)

    assert refusal(answer) == (400, "invalid_http")
    assert SECRET not in answer.decode() + served.log.getvalue()


@pytest.mark.parametrize(
    "headers",
    [
        b"a: b\r\n" * 21,
        b"a: " + b"b" * 4_000 + b"\r\n",  # complete in the turn of the event loop in which it is too large
        b"a: " + b"b" * 5_000 + b"\r\n",
        b"a: b\r\n" * 50_000,
        b"a" * 100_000,
    ],
)
def test_a_head_that_is_too_large_is_refused(served: Served, headers: bytes) -> None:
    answer = exchange(served, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + headers + b"\r\n")

    assert refusal(answer) == (431, "headers_too_large")


def test_a_large_head_behind_a_good_request_is_refused_as_well(served: Served) -> None:
    good = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"

    answer = exchange(served, good + b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 100 + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 431 ") == 1


def test_a_head_that_trickles_in_times_out(served: Served) -> None:
    started = time.monotonic()
    with connect(served) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\na: ")
        while not select.select([connection], [], [], 0.1)[0]:
            connection.sendall(b"b")
            assert time.monotonic() - started < 5, "every byte gains time"
        answer = connection.makefile("rb").read()

    assert refusal(answer) == (408, "header_timeout")


def test_a_client_that_says_nothing_is_let_go(served: Served) -> None:
    with connect(served) as connection:
        assert connection.recv(100) == b""


def test_a_body_that_no_route_reads_does_not_hold_the_connection(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n")
        started = time.monotonic()
        while time.monotonic() - started < 20:
            try:
                connection.sendall(b"x")
            except OSError:
                break
            time.sleep(0.2)

    assert time.monotonic() - started < 15


def test_a_connection_whose_body_nobody_read_is_let_go() -> None:
    """The answer is out before the last part of the body is parsed."""
    limits = LimitSettings(keep_alive_seconds=1)
    head = f"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: {2 * TURN_BYTES}\r\n\r\n"
    with serving(fake_settings(limits=limits), FakeLoader()) as served:
        answer = exchange(served, head.encode() + b"x" * 2 * TURN_BYTES)

    assert refusal(answer) == (404, "not_found")


def test_a_connection_is_kept_for_the_next_request(served: Served) -> None:
    request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with connect(served) as connection:
        reader = connection.makefile("rb")
        for pause in (0.0, 0.8, 0.0):
            time.sleep(pause)
            connection.sendall(request)
            assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
            while reader.readline() != b"\r\n":
                pass
            reader.read(len(b'{"status":"alive"}'))


def asked(name: str) -> bytes:
    return f"GET /version HTTP/1.1\r\nhost: localhost\r\nx-request-id: {name}\r\n\r\n".encode()


def duration(served: Served, name: str) -> float:
    """Of the request that its client named so, as the log tells it, in seconds."""

    def told() -> list[float]:
        return [line["duration_ms"] / 1000 for line in served.lines if line.get("client_request_id") == name]

    wait_until(lambda: bool(told()))
    return told()[0]


def test_the_log_counts_from_the_moment_a_request_came(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "_begin", lambda connection: connection.loop.call_later(0.3, connection._parse))
    with connect(served) as connection:
        connection.sendall(asked("parsed-late"))
        assert connection.recv(65_536)

    assert duration(served, "parsed-late") >= 0.3


def test_the_log_does_not_count_while_a_connection_idles(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(asked("first"))
        assert connection.recv(65_536)
        time.sleep(0.4)
        sent = time.monotonic()
        connection.sendall(asked("second"))
        assert connection.recv(65_536)
        seconds = time.monotonic() - sent

    assert duration(served, "second") < seconds + 0.2


def test_a_route_can_cut_its_connection(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(request: object) -> None:
        request.state.abort()  # type: ignore[attr-defined]

    monkeypatch.setattr("service.routes.tie.check_media_type", cut)
    before = len(served.server.server_state.connections)

    answer = exchange(served, b"POST /v1/tie/generate HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")

    assert answer == b""
    wait_until(lambda: len(served.server.server_state.connections) <= before)


def test_a_surplus_connection_is_answered_once_others_have_left(served: Served) -> None:
    request = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
    idle = [connect(served) for _ in range(8)]
    wait_until(lambda: len(served.server.server_state.connections) >= 8)
    with connect(served) as surplus:
        reader = surplus.makefile("rb")
        surplus.sendall(request)
        assert reader.readline().startswith(b"HTTP/1.1 503 ")
        headers = list(iter(reader.readline, b"\r\n"))
        (size,) = [int(line.split()[1]) for line in headers if line.startswith(b"content-length:")]
        reader.read(size)
        for connection in idle:
            connection.close()
        wait_until(lambda: len(served.server.server_state.connections) <= 2)

        surplus.sendall(request)
        assert reader.readline().startswith(b"HTTP/1.1 200 ")


def test_what_is_sent_in_one_piece_is_parsed_in_turns(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    receive = BoundedConnection.receive_data

    def note(self: BoundedConnection, data: bytes) -> None:
        sizes.append(len(data))
        receive(self, data)

    monkeypatch.setattr(BoundedConnection, "receive_data", note)
    body = json.dumps({"prompt": "a" * 300_000}).encode()
    head = f"POST /v1/tie/generate HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"

    answer = exchange(served, f"{head}content-type: application/json\r\n\r\n".encode() + body)

    assert refusal(answer) == (400, "prompt_too_long")
    assert max(sizes) <= TURN_BYTES
    assert sum(sizes) == len(head) + len("content-type: application/json\r\n\r\n") + len(body)


@pytest.mark.parametrize(
    ("size", "refused"), [(1, (400, "invalid_http")), (64, (413, "body_too_large")), (4_096, (413, "body_too_large"))]
)
def test_the_number_of_chunks_is_bounded_by_their_bytes(served: Served, size: int, refused: tuple[int, str]) -> None:
    chunk = f"{size:x}\r\n{' ' * size}\r\n".encode()
    head = b"POST /v1/tie/generate HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n"

    chunks = chunk * (1_100 if size == 1 else 1_100_000 // size) + b"0\r\n\r\n"
    answer = exchange(served, head + b"content-type: application/json\r\n\r\n" + chunks)

    assert refusal(answer) == refused


def test_a_connection_and_its_requests_are_gone_without_a_search_for_garbage() -> None:
    """The search holds all threads up, the longer the more there is to find."""
    kinds = (Connection, RequestResponseCycle, AsyncExitStack)
    body = b'{"prompt": "rev 1"}'
    post = f"POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n".encode()
    post += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    with serving(fake_settings(limits=LIMITS), FakeLoader()) as served:
        served.client.close()
        wait_until(lambda: not served.server.server_state.connections)
        gc.collect()
        gc.disable()
        try:
            for raw in (post, post.replace(b"json", b"text"), b"GET /livez HTTP/1.0\r\nhost: localhost\r\n\r\n"):
                assert exchange(served, raw).startswith(b"HTTP/1.1 ")
            wait_until(lambda: not any(isinstance(each, kinds) for each in gc.get_objects()), 5)
        finally:
            gc.enable()
