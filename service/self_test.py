"""The known-answer test of what has just been loaded: no request is taken before every member answers as it should.

A few steps through the running engine are held against the plain driver; the embedded zoo knows the right answer too.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch

from service.settings import EnsembleSettings, ModelSettings
from tie_core import zoo
from tie_core.engine.engine import Engine
from tie_core.ensemble import Ensemble, run_plainly
from tie_core.errors import TieError
from tie_core.events import Completed, Event, Failed, StepTaken
from tie_core.member import Member
from tie_core.request import Request

PROMPT: Final = "rev 314159; inc 271828; add 141421"
ANSWER: Final = "951413382939696976"
FEW_STEPS: Final[dict[str, Any]] = {
    "reasoning": 2,
    "answer": 2,
    "block_size": 2,
    "interval": 1_000,  # no relay: what a member writes is its own
    "score": "tcc",
    "selection": "lowest_tcc",
    "policy": "top_k",
    "k": 1,
    "cache": "off",
    "fill_end": False,
    "early_commit": False,
}
QUICKLY: Final[dict[str, Any]] = {"policy": "threshold"}
Writing = dict[str, list[tuple[int, tuple[tuple[int, str], ...], int]]]
"""Model -> its steps: the number, what was written where, the masks left."""


class SelfTestError(TieError):
    """A member does not answer as it should."""


def check_answers(engine: Engine, ensemble: Ensemble) -> None:
    """Every member answers through the engine, and in float32 on the CPU with the very tokens of the plain driver.

    Raises:
        SelfTestError: one does not; with its name.
    """
    request = ensemble.request(prompt=PROMPT, detail="step", request_id=f"self-test-{ensemble.name}", **FEW_STEPS)
    told = _answered(engine, request)
    end = told[-1]
    if not isinstance(end, Completed):
        assert isinstance(end, Failed)
        raise SelfTestError(f"self-test: {ensemble.name} gave no answer: {end.error}")
    if end.tie.lost:
        what = ", ".join(f"{lost.model} ({lost.reason})" for lost in end.tie.lost)
        raise SelfTestError(f"self-test: {what} gave no answer")
    torch.set_num_threads(max(warmed.num_threads for warmed in engine.warm_ups.values()))  # this thread's, as what pays
    exact = [member for member in ensemble.members if _is_exact(member)]
    written, expected = _writing(told), _writing(run_plainly(request)) if exact else {}
    if wrong := [member.name for member in exact if written[member.name] != expected[member.name]]:
        raise SelfTestError(f"self-test: {', '.join(wrong)} answers otherwise in the engine than by itself")


def check_zoo(engine: Engine, ensemble: Ensemble) -> None:
    """The embedded members solve the README's worksheet.

    Raises:
        SelfTestError: they do not.
    """
    asked = [{"role": "user", "content": PROMPT}]
    *_, end = _answered(engine, ensemble.request(messages=asked, request_id="self-test-zoo", **QUICKLY))
    if not isinstance(end, Completed) or end.answer != ANSWER:
        raise SelfTestError(f"self-test: {', '.join(zoo.MEMBERS)} together give no right answer to a known question")


def is_zoo(ensemble: EnsembleSettings, models: Sequence[ModelSettings]) -> bool:
    """Whether it is the embedded members, with their own options."""
    embedded = {(name, zoo.member_path(name)) for name in zoo.MEMBERS}
    here = {(model.name, model.path) for model in models if model.name in ensemble.models}
    return here == embedded and ensemble.defaults == dict(zoo.DEFAULTS)


def _is_exact(member: Member) -> bool:
    return torch.device(member.model.device).type == "cpu" and "float32" in str(member.model.dtype)


def _answered(engine: Engine, request: Request) -> list[Event]:
    told: list[Event] = []
    has_ended = threading.Event()

    def listen(event: Event) -> None:
        told.append(event)
        if isinstance(event, Completed | Failed):
            has_ended.set()

    engine.submit(request, listen)
    has_ended.wait()  # the engine ends every request: its watchdog sees to members that hang
    return told


def _writing(events: Iterable[Event]) -> Writing:
    steps: Writing = defaultdict(list)
    for event in events:
        if isinstance(event, StepTaken):
            written = tuple((placed.position, placed.text) for placed in event.set)
            steps[event.model].append((event.step, written, event.masked_left))
    return steps
