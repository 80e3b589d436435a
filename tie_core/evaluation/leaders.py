"""Other ways to choose the leaders of an item's rounds, to compare the method with: by chance, and by knowing best."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tie_core.request import Request
from tie_core.scoring import Score
from tie_core.selection import ChooseLeader, Leader, choose_leader
from tie_core.tie import Program, tie
from tie_core.zoo.task import EXPERT_OPERATIONS, Item

LeadersOf = Callable[[Item, Sequence[str]], ChooseLeader]
"""Makes the choice for one item and the members' names, in order; called once for every request."""


@dataclass(frozen=True)
class LedRequest(Request):
    """A request whose leaders are chosen by `choose` instead of by the scores alone."""

    choose: ChooseLeader = choose_leader

    def program(self) -> Program:
        vocabularies = [member.vocabulary for member in self.members]
        return tie(vocabularies, self.canvases, self.options, choose=self.choose)


def led(request: Request, choose: ChooseLeader) -> LedRequest:
    return LedRequest(**vars(request), choose=choose)


def random_leader(item: Item, members: Sequence[str]) -> ChooseLeader:
    """Anyone who may lead, each as likely; the same ones for the same item."""
    rng = random.Random(item.prompt)

    def choose(scores: Sequence[Score | None], can_lead: Sequence[bool], last_leader: int | None) -> Leader:
        return Leader(rng.choice([member for member, can in enumerate(can_lead) if can]), None)

    return choose


def expert_leader(item: Item, members: Sequence[str]) -> ChooseLeader:
    """Round r is led by the expert of line r, where a round is a line; the scores choose in the answer's rounds."""
    experts = iter([_expert(line.split()[0], members) for line in item.prompt.split("; ")])

    def choose(scores: Sequence[Score | None], can_lead: Sequence[bool], last_leader: int | None) -> Leader:
        expert = next(experts, None)
        if expert is None or not can_lead[expert]:
            return choose_leader(scores, can_lead, last_leader)
        return Leader(expert, None)

    return choose


def _expert(operation: str, members: Sequence[str]) -> int:
    return next(number for number, name in enumerate(members) if operation in EXPERT_OPERATIONS[name])
