"""Other ways to choose the leaders of a request's rounds, to compare the method with: by chance, one after another."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tie_core.errors import TaskError
from tie_core.request import Request
from tie_core.scoring import Score
from tie_core.selection import ChooseLeader, Leader, choose_leader
from tie_core.tie import Program, max_rounds, tie

RANDOM = "random"
INJECT = "inject_reasoning:"
SHARE_INJECTED = 3  # a third of the reasoning's rounds


@dataclass(frozen=True)
class LedRequest(Request):
    """A request whose leaders are chosen by `choose`, and whose token changes are divided by |A| only if it says so."""

    choose: ChooseLeader = choose_leader
    is_normalised: bool = True

    def program(self) -> Program:
        vocabularies = [member.vocabulary for member in self.members]
        return tie(
            vocabularies,
            self.canvases,
            self.options,
            choose=self.choose,
            is_normalised=self.is_normalised,
            calibration=self.calibration,
        )


def led(request: Request, choose: ChooseLeader, *, is_normalised: bool = True) -> LedRequest:
    return LedRequest(**vars(request), choose=choose, is_normalised=is_normalised)


def leaders_of(name: str, request: Request, seed: str) -> ChooseLeader:
    """The leaders of this name: "" (by the scores), `random` (the same ones for the same seed), or an `injection`.

    Raises:
        TaskError: another name, or a member that is not asked.
    """
    if not name:
        return choose_leader
    if name == RANDOM:
        return random_leader(seed)
    members = [member.name for member in request.members]
    source, _, target = name.removeprefix(INJECT).partition(">")
    if not name.startswith(INJECT) or not {source, target} <= set(members):
        raise TaskError(f"there are no leaders {name!r}: random, or {INJECT}A>B with two of {', '.join(members)}")
    num_injected = max(1, round(_reasoning_rounds(request) / SHARE_INJECTED))
    return one_after_the_other(members.index(source), members.index(target), num_injected)


def injection(source: str, target: str) -> str:
    """The name of the leaders by which `source` leads the first third of the reasoning's rounds and `target` the rest:
    to see what `target` makes of a part of another's trajectory."""
    return f"{INJECT}{source}>{target}"


def _reasoning_rounds(request: Request) -> int:
    """ceil(steps / n), with the steps of a member's reasoning alone."""
    canvases = [replace(canvas, layout=replace(canvas.layout, answer=0)) for canvas in request.canvases]
    return max_rounds(canvases, request.options) - 2


def random_leader(seed: str) -> ChooseLeader:
    """Anyone who may lead, each as likely."""
    rng = random.Random(seed)

    def choose(scores: Sequence[Score | None], can_lead: Sequence[bool], last_leader: int | None) -> Leader:
        return Leader(rng.choice(_able(scores, can_lead)), None)

    return choose


def one_after_the_other(first: int, second: int, num_first: int) -> ChooseLeader:
    """`first` leads so many rounds and `second` the rest; the scores choose where that member may not lead."""
    turns = iter([first] * num_first)

    def choose(scores: Sequence[Score | None], can_lead: Sequence[bool], last_leader: int | None) -> Leader:
        leader = next(turns, second)
        if leader not in _able(scores, can_lead):
            return choose_leader(scores, can_lead, last_leader)
        return Leader(leader, None)

    return choose


def _able(scores: Sequence[Score | None], can_lead: Sequence[bool]) -> list[int]:
    """Who may lead, and was there."""
    return [member for member, score in enumerate(scores) if score is not None and can_lead[member]]
