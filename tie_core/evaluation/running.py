"""Answers items under conditions, many at once, and writes down each as it is answered."""

import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tie_core.errors import MemberError, RequestError, TieError
from tie_core.evaluation.conditions import Condition
from tie_core.evaluation.record_file import RecordFile
from tie_core.evaluation.records import Record, failed_record, record_of
from tie_core.evaluation.sides import Question, Side
from tie_core.evaluation.task import Item, Task
from tie_core.events import Completed, Event, Failed, RoundEnded

PROMPT_FIELDS = ("prompt", "messages")


@dataclass(frozen=True, slots=True)
class Work:
    """One item under one condition."""

    condition: Condition
    item: Item


@dataclass(frozen=True, slots=True)
class Told:
    """How a request went: its rounds, and its end."""

    rounds: tuple[RoundEnded, ...]
    end: Completed | Failed


def run(side: Side, task: Task, work: Sequence[Work], file: RecordFile) -> Iterator[Record]:
    """Keep the side busy until all work is done; records in the order in which they are answered.

    An item that a member cannot take (too long a prompt, a canvas that its memory does not hold, logits that are no
    numbers) is recorded as failed, since it fails every time.

    Raises:
        TieError: anything else went wrong. What was answered until then is in the file.
    """
    ended: queue.SimpleQueue[tuple[Work, Told]] = queue.SimpleQueue()
    for number in range(len(work) + side.at_once - 1):
        if number < len(work):
            _ask(side, task, work[number], f"eval-{number}", ended)
        if number >= side.at_once - 1:
            done, told = ended.get()
            record = _record(task, done, told)
            file.add(record)
            yield record


def _ask(side: Side, task: Task, work: Work, name: str, ended: "queue.SimpleQueue[tuple[Work, Told]]") -> None:
    question = Question(name, work.item.prompt, {**task.options, **work.condition.options}, work.condition)
    listen = _listener(work, ended)
    try:
        side.ask(question, listen)
    except RequestError as error:
        listen(Failed(error))


def _listener(work: Work, ended: "queue.SimpleQueue[tuple[Work, Told]]") -> Callable[[Event], None]:
    rounds: list[RoundEnded] = []

    def listen(event: Event) -> None:
        if isinstance(event, RoundEnded):
            rounds.append(event)
        elif isinstance(event, Completed | Failed):
            ended.put((work, Told(tuple(rounds), event)))

    return listen


def _record(task: Task, work: Work, told: Told) -> Record:
    if isinstance(told.end, Completed):
        return record_of(work.condition.key, task, work.item, told.rounds, told.end)
    if _is_the_items(told.end.error):
        return failed_record(work.condition.key, work.item, " ".join(str(told.end.error).split()))
    raise told.end.error


def _is_the_items(error: TieError) -> bool:
    """Whether this item would fail every time."""
    return isinstance(error, MemberError) or (isinstance(error, RequestError) and error.param in PROMPT_FIELDS)
