"""A run's events as a file: one event a line, behind a line with the request. What the playground exports and imports.

Reads as well what curl saved of a stream, as lines or as server-sent events. Types that are not known are left out.
"""

import json
import sys
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from service.client import event_of
from service.errors import api_error
from tie_core.errors import RequestError, TieError
from tie_core.events import Created, Event, Failed, RoundEnded, StepTaken, event_data

REQUEST: Final = "page.request"
MAX_POSITIONS: Final = 65_536  # of a region: what is drawn is laid out first
MAX_MODELS: Final = 64
HOW: Final = "`tie run --save FILE` writes one, and so does Export in the playground"


@dataclass(frozen=True, slots=True)
class Recording:
    """The prompt (empty where the file does not tell it) and the events, the first of which is `Created`."""

    prompt: str
    events: tuple[Event, ...]


class RecordingError(RequestError):
    """A file that is no recording; the message names it and says how one is made."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(None, f"{name}: {what}: {HOW}")


def recorded(events: Iterable[Event], file: Path, body: Mapping[str, Any]) -> Generator[Event, None, None]:
    """The same events, each written before it is passed on, behind the request that they answer.

    Until the first one comes, the file stays as it was.

    Raises:
        RequestError: it cannot be written; at once.
    """
    try:
        opened = file.open("a", encoding="utf-8")
    except OSError as error:
        raise RequestError("save", f"{file} cannot be written ({error.strerror}): name another file") from None
    return _recorded(events, opened, body)


def _recorded(events: Iterable[Event], file: TextIO, body: Mapping[str, Any]) -> Generator[Event, None, None]:
    started = time.monotonic()
    with file:
        for number, event in enumerate(events, 1):
            if number == 1:
                _begin(file, body)
            t_ms = round((time.monotonic() - started) * 1000, 3)
            _write(file, {"type": event.type, "seq": number, "t_ms": t_ms, **_data(event)})
            yield event


def _begin(file: TextIO, body: Mapping[str, Any]) -> None:
    if file.seekable():  # a pipe is not, and has nothing to lose
        file.truncate(0)
    _write(file, {"type": REQUEST, "body": body})


def _data(event: Event) -> dict[str, Any]:
    if isinstance(event, Failed):
        error = api_error(event.error)
        return {"error": error.body(), "retryable": error.is_retryable}
    return event_data(event)


def _write(file: TextIO, line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    file.flush()  # a run that is broken off is there as far as it came


def read_recording(file: Path) -> Recording:
    """What a file tells; `-` is standard input.

    Raises:
        RecordingError: a file that cannot be read, or is no run's.
    """
    name = "standard input" if str(file) == "-" else str(file)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordingError(name, f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise RecordingError(name, "is no text") from None
    prompt, events = "", []
    for number, line in enumerate(text.split("\n"), 1):
        data = _line(name, number, line)
        if data.get("type") == REQUEST:
            prompt = _prompt_of(data.get("body"))
        elif (event := _event(name, number, data)) is not None:
            events.append(event)
    _check(name, events)
    return Recording(prompt, tuple(events))


def _line(name: str, number: int, line: str) -> Mapping[str, Any]:
    """A line of NDJSON or of server-sent events, whose other fields say nothing that the data does not."""
    field, colon, data = line.partition(":")
    if colon and field == "data":
        line = data
    elif not line.strip() or (colon and field in ("", "event", "id", "retry")):
        return {}
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RecordingError(name, f"line {number} is not an event of a run")
    return value


def _event(name: str, number: int, data: Mapping[str, Any]) -> Event | None:
    try:
        return event_of(data) if data else None
    except TieError as error:
        raise RecordingError(name, f"line {number}: {error}") from None


def _prompt_of(body: object) -> str:
    """The prompt, or what the last message says."""
    if not isinstance(body, dict):
        return ""
    messages = body.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        return str(messages[-1].get("content", ""))
    return str(body.get("prompt") or "")


def _check(name: str, events: Sequence[Event]) -> None:
    """That they can be drawn: they begin where a run begins, of a possible size, and name no strangers."""
    if not events or not isinstance(events[0], Created):
        raise RecordingError(name, "does not begin with tie.created, where a run begins")
    created = events[0]
    shape = created.canvas
    sizes = (shape.reasoning, shape.suffix, shape.answer)
    if not all(0 <= size <= MAX_POSITIONS for size in sizes) or not 1 <= shape.block_size <= MAX_POSITIONS:
        raise RecordingError(name, "its canvas has an impossible size")
    names = {model.id for model in created.models}
    if not 1 <= len(names) <= MAX_MODELS:
        raise RecordingError(name, f"it has {len(names)} models, not 1 to {MAX_MODELS}")
    if any(isinstance(event, Created) for event in events[1:]):
        raise RecordingError(name, "holds more than one run")
    if strangers := {each for event in events for each in _named(event)} - names:
        raise RecordingError(name, f"{min(strangers)} is no model of its run")


def _named(event: Event) -> set[str]:
    if isinstance(event, StepTaken):
        return {event.model}
    if isinstance(event, RoundEnded):
        return {event.leader, *event.scores, *(relay.to for relay in event.relayed)}
    return set()
