"""Answers items under conditions, many at once, and writes down each as it is answered."""

import queue
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from tie_core.errors import LossReason, MemberError, NoMemberLeftError, RequestError, TieError
from tie_core.evaluation.conditions import Condition
from tie_core.evaluation.record_file import RecordFile
from tie_core.evaluation.records import Record, failed_record, record_of
from tie_core.evaluation.sides import Question, Side
from tie_core.evaluation.task import Item, Task
from tie_core.events import Completed, Event, Failed, RoundEnded

PROMPT_FIELDS: Final = ("prompt", "messages")
LASTING: Final[tuple[LossReason, ...]] = ("not_finite", "out_of_memory")
"""Why a member is lost to an item every time; any other loss may have passed by the next try."""
MAX_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Work:
    """One item under one condition; `options` is the digest of its resolved options."""

    condition: Condition
    item: Item
    options: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """How a request went: its rounds, and its end."""

    rounds: tuple[RoundEnded, ...]
    end: Completed | Failed


def run(side: Side, task: Task, work: Sequence[Work], file: RecordFile) -> Iterator[Record]:
    """Keep the side busy until all work is done; records in the order in which they are answered.

    An item that a member cannot take (too long a prompt, a canvas that its memory does not hold, logits that are no
    numbers) is recorded, since it fails every time. One that lost a member for another reason is not, or the members
    alone and the ensembles would pay for the moment: it is asked again behind all others, `MAX_TRIES` times in all.

    Raises:
        TieError: anything else went wrong. What was answered until then is in the file.
    """
    ended: queue.SimpleQueue[tuple[Work, Told]] = queue.SimpleQueue()
    due, numbers, num_asked = deque(work), count(), 0
    tries: Counter[tuple[str, str]] = Counter()
    while due or num_asked:
        while due and num_asked < side.at_once:
            _ask(side, task, due.popleft(), f"eval-{next(numbers)}", ended)
            num_asked += 1
        done, told = ended.get()
        num_asked -= 1
        if (loss := _passing_loss(told.end)) is not None:
            place = done.condition.key, done.item.id
            tries[place] += 1
            if tries[place] == MAX_TRIES:
                raise loss
            due.append(done)
            continue
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


def _passing_loss(end: Completed | Failed) -> TieError | None:
    """What to say of an end without one of the members that another try may not have."""
    if isinstance(end, Failed):
        is_loss = isinstance(end.error, MemberError | NoMemberLeftError) and not _is_the_items(end.error)
        return end.error if is_loss else None
    lost = sorted({f"{each.model} ({each.reason})" for each in end.tie.lost if each.reason not in LASTING})
    if not lost:
        return None
    return MemberError(f"lost to a round in each of {MAX_TRIES} tries: {', '.join(lost)}; the same command goes on")


def _record(task: Task, work: Work, told: Told) -> Record:
    if isinstance(told.end, Completed):
        return record_of(work.condition.key, work.options, task, work.item, told.rounds, told.end)
    if _is_the_items(told.end.error):
        why = " ".join(str(told.end.error).split())
        return failed_record(work.condition.key, work.options, work.item, why)
    raise told.end.error


def _is_the_items(error: TieError) -> bool:
    """Whether this item would fail every time."""
    if isinstance(error, MemberError):
        return error.reason in LASTING
    return isinstance(error, RequestError) and error.param in PROMPT_FIELDS
