"""Answers items under one setting through the engine, many at once, and keeps what each request showed."""

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tie_core.engine.engine import Engine
from tie_core.ensemble import Ensemble
from tie_core.evaluation.leaders import led
from tie_core.evaluation.settings import Setting
from tie_core.events import Completed, Event, Failed
from tie_core.request import Request
from tie_core.zoo.task import Item, grade

MAX_RUNNING = 64
MAX_AHEAD = MAX_RUNNING + 16  # some wait in the queue, so that the engine never does

Progress = Callable[[str, int, int], None]  # setting, answered, items


@dataclass(frozen=True, slots=True)
class Answered:
    """One item under one setting, by member name where members differ.

    `tcc` is that of the whole run; None where the run gave no evidence. `is_approximate`: an approximation committed
    something.
    """

    is_right: bool
    member_is_right: Mapping[str, bool]
    tcc: Mapping[str, float | None]
    decode_forwards: Mapping[str, int]
    score_forwards: Mapping[str, int]
    rounds: int
    switches: int
    wins: Mapping[str, int]
    is_approximate: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """All items under one setting, in their order, and the seconds it took."""

    setting: str
    answered: tuple[Answered, ...]
    seconds: float


def measure(
    engine: Engine, ensemble: Ensemble, setting: Setting, items: Sequence[Item], progress: Progress
) -> Measurement:
    """Keep the engine full until every item is answered.

    Raises:
        TieError: a request failed; rows with a hole could not be paired.
    """
    ended: queue.SimpleQueue[tuple[int, Completed | Failed]] = queue.SimpleQueue()
    answered: dict[int, Answered] = {}
    started = time.perf_counter()
    for index in range(len(items) + MAX_AHEAD):
        if index >= MAX_AHEAD:
            number, event = ended.get()
            if isinstance(event, Failed):
                raise event.error
            answered[number] = read(items[number], event)
            progress(setting.name, len(answered), len(items))
        if index < len(items):
            engine.submit(make_request(ensemble, setting, items[index], index), _listener(index, ended))
    in_order = tuple(answered[index] for index in range(len(items)))
    return Measurement(setting.name, in_order, time.perf_counter() - started)


def make_request(ensemble: Ensemble, setting: Setting, item: Item, index: int) -> Request:
    request = ensemble.request(
        messages=[{"role": "user", "content": item.prompt}],
        request_id=f"{setting.name}-{index}",
        **setting.options,
    )
    if setting.leaders is None:
        return request
    return led(request, setting.leaders(item, [member.name for member in request.members]))


def read(item: Item, completed: Completed) -> Answered:
    """What the result of a request says about its item."""
    info = completed.tie
    return Answered(
        is_right=grade(item, completed.answer),
        member_is_right={name: grade(item, answer) for name, answer in info.candidates.items()},
        tcc=info.scores,
        decode_forwards={name: nfe.decode for name, nfe in info.nfe.items()},
        score_forwards={name: nfe.score for name, nfe in info.nfe.items()},
        rounds=info.rounds,
        switches=info.switches,
        wins=info.wins,
        is_approximate=bool(info.approximations),
    )


def _listener(index: int, ended: "queue.SimpleQueue[tuple[int, Completed | Failed]]") -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if isinstance(event, Completed | Failed):
            ended.put((index, event))

    return listen
