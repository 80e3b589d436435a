"""A server over HTTP as whoever answers: several requests at once on its native route, refusals waited out."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from service.bench.asking import connection, refusal
from service.client import ServerError, event_of
from service.encoding import JsonError, from_json
from service.option_places import body_of
from tie_core.errors import InternalError, MemberError, OutOfMemoryError, TieError, UnknownModelError
from tie_core.evaluation.sides import Listener, Question
from tie_core.events import Completed, Created, Event, Failed

BUSY: Final = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
LONGEST_WAIT: Final = 300.0  # seconds; whatever Retry-After says
PATIENCE: Final = 3_600.0  # seconds that one request waits altogether
GENERATE: Final = "/v1/tie/generate"
PASSING: Final = ("no_member_left", "queue_full", "draining")  # codes of ends that another try may not have
MAX_TRIES: Final = 5  # of a request that was taken and ended so
MEMBER_FACTS: Final = ("family", "dtype", "device", "tokenizer", "max_positions")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Later:
    """The server asks for patience, or it took the request (`was_taken`) and ended it for a reason that may pass."""

    seconds: float
    why: str
    was_taken: bool = False


class ServerSide:
    """Asks up to `at_once` questions at a time, each on a thread of its own. `close` ends them.

    Raises:
        ServerError: the server cannot be reached.
        UnknownModelError: it has no such ensemble.
    """

    def __init__(self, server: str, key: str | None, ensemble: str | None, at_once: int) -> None:
        self.at_once, self.is_here = at_once, False
        self._client = httpx.Client(**connection(server, key))
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="tie-eval")
        self._is_closing = threading.Event()
        try:
            self._info = self._patiently(self._get_info)
            known = {each["name"]: each["members"] for each in self._info["ensembles"]}
            self._ensemble = ensemble or next(iter(known))
            if self._ensemble not in known:
                raise UnknownModelError("ensemble", f"{server} has no ensemble {ensemble}: it has {', '.join(known)}")
        except BaseException:
            self.close()
            raise
        self.members: Sequence[str] = known[self._ensemble]

    def close(self) -> None:
        """What still runs is given up."""
        self._is_closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def resolve(self, options: Mapping[str, Any], models: Sequence[str] = ()) -> Mapping[str, Any]:
        """As the first event of a request tells them; it is cancelled then."""
        body = self._body(options, [{"role": "user", "content": "1"}], models)
        (created,) = self._patiently(lambda: self._attempt(body, until=Created))
        if isinstance(created, Failed):
            raise created.error
        assert isinstance(created, Created)
        return created.options

    def circumstances(self) -> Mapping[str, Any]:
        facts = {member["name"]: member for member in self._info["members"]}
        return {
            "versions": {"tie-server": self._info["version"]},
            "members": {
                name: {key: facts[name][key] for key in MEMBER_FACTS}
                | {"weights_bytes": facts[name]["memory"]["weights_bytes"]}
                for name in self.members
            },
        }

    def ask(self, question: Question, listen: Listener) -> None:
        body = self._body(question.options, question.messages, question.condition.models)
        self._pool.submit(self._answer, body, listen)

    def _answer(self, body: Mapping[str, Any], listen: Listener) -> None:
        """Events are told once the request has ended: one that is sent again tells its own."""
        try:
            events = self._patiently(lambda: self._attempt(body))
        except TieError as error:
            events = [Failed(error)]
        except Exception as bug:
            events = [Failed(InternalError(f"asking the server failed: {type(bug).__name__}: {bug}"))]
        for event in events:
            listen(event)

    def _body(
        self, options: Mapping[str, Any], messages: list[dict[str, str]], models: Sequence[str]
    ) -> Mapping[str, Any]:
        asked: dict[str, Any] = {"ensemble": self._ensemble, "messages": messages, "events": "round"}
        return {**asked, **body_of(options), **({"models": list(models)} if models else {})}

    def _patiently(self, attempt: Callable[[], Answer | Later]) -> Answer:
        """Try until the server takes it.

        Raises:
            ServerError: it refused for `PATIENCE` seconds, or took it `MAX_TRIES` times without answering it.
        """
        started, num_taken = time.monotonic(), 0
        while isinstance(outcome := attempt(), Later):
            num_taken += outcome.was_taken
            if num_taken == MAX_TRIES:
                raise ServerError(f"{self._client.base_url} gave no answer in {num_taken} tries: {outcome.why}")
            waited = time.monotonic() - started
            if waited + outcome.seconds > PATIENCE or self._is_closing.wait(outcome.seconds):
                raise ServerError(f"{self._client.base_url} had no place in {waited:.0f} s: {outcome.why}")
        return outcome

    def _get_info(self) -> Mapping[str, Any] | Later:
        try:
            response = self._client.get("/info")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if (refused := self._refused(response)) is not None:
            return refused
        if not isinstance(info := _reply(response), dict):
            raise ServerError(f"{self._client.base_url} gives no JSON: is it a TIE server?")
        return info

    def _attempt(self, body: Mapping[str, Any], until: type[Event] = Completed) -> list[Event] | Later:
        """A request's events up to one of this type or its failure."""
        events: list[Event] = []
        try:
            with self._client.stream(
                "POST", GENERATE, json=body, headers={"Accept": "application/x-ndjson"}
            ) as response:
                if not response.is_success:
                    response.read()
                    return self._refused(response) or []
                for line in response.iter_lines():
                    event = _event(_parsed(line))
                    if isinstance(event, Later):
                        return event
                    events += [event] if event is not None else []
                    if isinstance(event, until | Failed):
                        return events
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        raise ServerError(f"{self._client.base_url} ended its answer before it was complete")

    def _refused(self, response: httpx.Response) -> Later | None:
        """None for a success.

        Raises:
            RequestError: the request is at fault.
            ServerError: another refusal than that the server is busy.
        """
        if response.is_success:
            return None
        error = refusal(str(self._client.base_url), response.status_code, _reply(response))
        if response.status_code not in BUSY:
            raise error
        return Later(_seconds(response.headers.get("retry-after", "")), str(error))

    def _unreachable(self, error: httpx.HTTPError) -> ServerError:
        why = str(error) or type(error).__name__
        return ServerError(f"{self._client.base_url} cannot be asked: {why}; `tie serve` starts a server")


def _reply(response: httpx.Response) -> Any:
    """None for what is no JSON: something before the server may have answered."""
    try:
        return response.json()
    except ValueError:
        return None


def _parsed(line: str) -> Mapping[str, Any]:
    try:
        data = from_json(line.encode())
    except JsonError:
        data = None
    if not isinstance(data, dict):
        raise ServerError("the server sent an event that is no JSON object")
    return data


def _event(data: Mapping[str, Any]) -> Event | Later | None:
    """An event as every client reads it, but for an end without an answer that another try may have."""
    if data.get("type") != Failed.type or not isinstance(error := data.get("error"), dict):
        return event_of(data)
    message, code = str(error.get("message")), error.get("code")
    if code == "out_of_memory":
        return Failed(OutOfMemoryError(message))
    if code == "member_failed":
        return Failed(MemberError(message))
    return Later(1.0, message, was_taken=True) if code in PASSING else event_of(data)


def _seconds(words: str) -> float:
    """What Retry-After says, as a number of seconds; one where it says something else."""
    return min(LONGEST_WAIT, max(0.1, float(words))) if words.replace(".", "", 1).isdigit() else 1.0
