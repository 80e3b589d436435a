"""A server as whoever answers: refusals are waited out for as long as it says, and failures are told apart."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from service.client import ServerError
from service.evaluation import server_side
from service.evaluation.server_side import ServerSide
from tests.evaluation.answers import completed, ended
from tie_core.errors import ContextLengthError, MemberError, OutOfMemoryError, RequestError, UnknownModelError
from tie_core.evaluation.conditions import Condition, tie_by
from tie_core.evaluation.sides import Question
from tie_core.events import AnswerProbe, Completed, Event, Failed, RoundEnded

TOP1 = tie_by("top1", interval=4)
MEMBER = {"family": "llada", "dtype": "float32", "device": "cpu", "tokenizer": "abc", "max_positions": 64}
INFO = {
    "version": "1",
    "members": [{"name": "ann", **MEMBER, "memory": {"weights_bytes": 5, "position_bytes": 6}, "state": "ready"}],
    "ensembles": [{"name": "tie", "members": ["ann"]}, {"name": "other", "members": ["ann"]}],
}


def line(event: Any) -> dict[str, Any]:
    return {"type": event.type, **asdict(event)}


def refused(code: str, *, param: str | None = None, kind: str = "server_error") -> dict[str, Any]:
    return {"error": {"message": f"{code}!", "type": kind, "param": param, "code": code}}


def failure(code: str, *, retryable: bool, **told: Any) -> dict[str, Any]:
    return {"type": "tie.error", **refused(code, **told), "retryable": retryable}


ROUND = line(ended(1, "ann")) | {"answer_probe": asdict(AnswerProbe("", 0.0, 0.5))}
ANSWERED = [{"type": "tie.of_tomorrow"}, ROUND, line(completed("x", "4", {"ann": "4"}))]


@dataclass
class Stub:
    """A server with a script: for each request a status, what Retry-After says, and lines."""

    script: list[tuple[int, str, Sequence[Any]]]
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def scripted(*script: tuple[int, str, Sequence[Any]], info_status: int = 200) -> Iterator[Stub]:
    stub = Stub(list(script))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(info_status, "1", [INFO if info_status == 200 else refused("no")])

        def do_POST(self) -> None:
            stub.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer(*stub.script.pop(0))

        def _answer(self, status: int, retry_after: str, lines: Sequence[Any]) -> None:
            self.send_response(status)
            if retry_after:
                self.send_header("retry-after", retry_after)
            self.end_headers()
            self.wfile.write("\n".join(map(json.dumps, lines)).encode())

        def log_message(self, *_: object) -> None:
            """Not on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, without waiting; the clock knows no others."""
    waited: list[float] = []

    class Patient:
        def wait(self, seconds: float) -> bool:
            waited.append(seconds)
            return False

        def set(self) -> None:
            """Nobody waits."""

    monkeypatch.setattr(server_side, "threading", SimpleNamespace(Event=Patient))
    monkeypatch.setattr(server_side, "time", SimpleNamespace(monotonic=lambda: sum(waited)))
    return waited


def told(stub: Stub, condition: Condition = TOP1) -> list[Event]:
    events: SimpleQueue[Event] = SimpleQueue()
    with closing(ServerSide(stub.url, None, None, at_once=2)) as side:
        side.ask(Question("x", "2 + 2", {"answer": 8, **condition.options}, condition), events.put)
        got = [events.get(timeout=20)]
        while not isinstance(got[-1], Completed | Failed):
            got.append(events.get(timeout=20))
    return got


def test_a_question_goes_to_the_native_route_and_its_events_come_back() -> None:
    with scripted((200, "", ANSWERED)) as stub:
        first, last = told(stub, Condition("", {"score": "top1", "interval": 4}, models=("ann",)))

    assert isinstance(first, RoundEnded)
    assert isinstance(last, Completed)
    assert (first.leader, last.answer) == ("ann", "4")
    assert stub.bodies == [
        {
            "ensemble": "tie",
            "messages": [{"role": "user", "content": "2 + 2"}],
            "events": "round",
            "answer": {"length": 8},
            "tie": {"score": "top1", "interval": 4},
            "models": ["ann"],
        }
    ]


def test_refusals_are_waited_out_for_as_long_as_the_server_says(waits: list[float]) -> None:
    busy = [
        (429, "7", [refused("quota_exceeded")]),
        (503, "2", [refused("queue_full")]),
        (503, "", [refused("loading")]),
    ]
    with scripted(*busy, (503, "soon", [refused("draining")]), (200, "", ANSWERED)) as stub:
        *_, last = told(stub)

    assert isinstance(last, Completed)
    assert waits == [7, 2, 1, 1]
    assert all(body == stub.bodies[0] for body in stub.bodies)


def test_nobody_waits_for_ever(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_side, "PATIENCE", 500.0)
    with scripted(*[(503, "100000", [refused("queue_full")])] * 5) as stub:
        (last,) = told(stub)

    assert isinstance(last, Failed)
    assert isinstance(last.error, ServerError)
    assert "had no place in 300 s" in str(last.error)
    assert "queue_full!" in str(last.error)
    assert waits == [server_side.LONGEST_WAIT]


def test_patience_ends_by_the_clock_and_not_by_what_was_asked_for(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(*[(503, "1", [refused("queue_full")])] * 3) as stub:
        side = ServerSide(stub.url, None, None, at_once=1)
        seconds = iter([0.0, 100.0, 3_600.0])  # a refusal may take long to come
        monkeypatch.setattr(server_side, "time", SimpleNamespace(monotonic=seconds.__next__))
        with closing(side), pytest.raises(ServerError, match="had no place in 3600 s"):
            side.resolve({})

    assert waits == [1]


def test_a_busy_proxys_page_is_waited_out(waits: list[float]) -> None:
    with scripted((503, "3", []), (200, "", ANSWERED)) as stub:  # an empty page is no JSON
        *_, last = told(stub)

    assert isinstance(last, Completed)
    assert waits == [3]


@pytest.mark.parametrize("code", ["no_member_left", "queue_full", "draining"])
def test_a_run_that_was_taken_is_not_tried_for_ever(waits: list[float], code: str) -> None:
    with scripted(*[(200, "", [failure(code, retryable=True)])] * server_side.MAX_TRIES) as stub:
        (last,) = told(stub)

    assert isinstance(last, Failed)
    assert str(last.error).endswith(f"gave no answer in 5 tries: {code}!")
    assert len(waits) == 4


def test_a_run_that_may_be_tried_again_tells_only_its_last_try(waits: list[float]) -> None:
    broken = [ROUND, ROUND, failure("no_member_left", retryable=True)]
    with scripted((200, "", broken), (200, "", ANSWERED)) as stub:
        assert [event.type for event in told(stub)] == ["tie.round", "tie.completed"]

    assert waits == [1]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, "", [failure("member_failed", retryable=False)]), MemberError),
        ((200, "", [failure("out_of_memory", retryable=True)]), OutOfMemoryError),
        ((200, "", [failure("internal_error", retryable=True)]), ServerError),
        ((200, "", [failure("deadline_exceeded", retryable=True)]), ServerError),
        ((400, "", [refused("context_length_exceeded", param="messages")]), RequestError),
        ((500, "", [refused("internal_error")]), ServerError),
        ((401, "", [refused("invalid_api_key")]), ServerError),
        ((200, "", [ROUND]), ServerError),
        ((200, "", [[]]), ServerError),
        ((500, "", []), ServerError),
    ],
)
def test_a_failure_is_told_as_what_it_is(answer: Any, error: type[Exception]) -> None:
    with scripted(answer) as stub:
        (last,) = told(stub)

    assert isinstance(last, Failed)
    assert type(last.error) is error
    assert len(stub.bodies) == 1
    if isinstance(last.error, RequestError):
        assert last.error.param == "messages"  # so the item counts as wrong, as with ContextLengthError
        assert ContextLengthError.__mro__[2] is RequestError


def test_what_answers_depend_on_is_taken_from_the_servers_page() -> None:
    with scripted() as stub, closing(ServerSide(stub.url, None, "other", at_once=1)) as side:
        assert side.members == ["ann"]
        assert side.circumstances() == {
            "versions": {"tie-server": "1"},
            "members": {"ann": {**MEMBER, "weights_bytes": 5}},
        }
        assert not side.is_here


def test_an_unknown_ensemble_is_refused() -> None:
    with scripted() as stub, pytest.raises(UnknownModelError, match="has no ensemble nonsense: it has tie, other"):
        ServerSide(stub.url, None, "nonsense", at_once=1)


def test_a_server_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(ServerError, match="cannot be asked"):
        ServerSide("http://127.0.0.1:9", None, None, at_once=1)
    with scripted(info_status=404) as stub, pytest.raises(ServerError, match="answers with HTTP 404"):
        ServerSide(stub.url, None, None, at_once=1)
