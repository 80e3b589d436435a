"""Choosing: the leader of a round among trajectories, and the final answer among candidates. Section 4.2 and 4.4.

Knows scores and counts only.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tie_core.calibration import PLAIN, Calibration
from tie_core.options import SelectionName, TieBreak
from tie_core.scoring import NOTHING_COUNTED, ChangeCount, History, Score


@dataclass(frozen=True, slots=True)
class Leader:
    """Who won a round, and what decided if it was not the score alone.

    `progress`: a better trajectory would have taken back text that was already handed over. `leader_lost`: the last
    leader was lost and nobody else goes on from all of its text, so some of that is taken back.
    """

    member: int
    tie_break: TieBreak | None

    @property
    def shared_the_best_score(self) -> bool:
        return self.tie_break in ("top1", "last_leader", "order")


def choose_leader(scores: Sequence[Score | None], can_lead: Sequence[bool], last_leader: int | None) -> Leader:
    """The member with the highest score. Ties: top-1, then the last leader, then the members' order.

    A member that was lost has no score and cannot lead. A trajectory without evidence ranks below every one that has
    some. If none has any the last leader stays, and where there is none (in the first round, or since it was lost) the
    highest mean confidence of the committed tokens decides.
    """
    scored = {member: score for member, score in enumerate(scores) if score is not None}
    members = [member for member in scored if can_lead[member]]
    assert members, "the canvas that was handed over last can always lead"
    leader = _best(scored, members, last_leader)
    if leader.member != _best(scored, list(scored), last_leader).member:
        return Leader(leader.member, "progress")
    return leader


def _best(scores: Mapping[int, Score], members: Sequence[int], last_leader: int | None) -> Leader:
    informed = {member: value for member in members if (value := scores[member].value) is not None}
    if not informed:
        return Leader(_without_evidence(scores, members, last_leader), "no_evidence")
    best = max(informed.values())
    tied = [member for member, value in informed.items() if value == best]
    if len(tied) == 1:
        return Leader(tied[0], None)
    top1 = max(scores[member].top1 for member in tied)
    surest = [member for member in tied if scores[member].top1 == top1]
    if len(surest) == 1:
        return Leader(surest[0], "top1")
    if last_leader is not None and last_leader in surest:
        return Leader(last_leader, "last_leader")
    return Leader(surest[0], "order")


def _without_evidence(scores: Mapping[int, Score], members: Sequence[int], last_leader: int | None) -> int:
    if last_leader is not None and last_leader in members:
        return last_leader
    return max(members, key=lambda member: (scores[member].commit_confidence, -member))


ChooseLeader = Callable[[Sequence[Score | None], Sequence[bool], int | None], Leader]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One member's finished answer: its whole-run TCC, its last top-1 over A, and the rounds it led.

    `reliability` is what a calibration makes of the whole run (None: there is none, and the TCC is compared).
    """

    member: int
    tcc: ChangeCount
    top1: float
    wins: int
    reliability: float | None = None


class Ledger:
    """What the members did over the whole run, round by round: pairs across a relay are never counted."""

    def __init__(self, calibration: Calibration = PLAIN) -> None:
        self._calibration = calibration
        self._rounds: list[dict[int, tuple[ChangeCount, float]]] = []  # by member: its changes and top-1
        self._wins = Counter[int]()

    def add(self, histories: Mapping[int, History], leader: int | None = None) -> None:
        """A round: the histories of the members that were there, and who led."""
        self._rounds.append({member: (history.changes, history.top1) for member, history in histories.items()})
        if leader is not None:
            self._wins[leader] += 1

    def candidates(self) -> tuple[Candidate, ...]:
        """Those that were there to the last, compared over the rounds in which all of them were: whoever was lost to
        one would else have had less time to change its mind.
        """
        members = list(self._rounds[-1])
        shared = [attended for attended in self._rounds if attended.keys() >= set(members)]
        return tuple(self._candidate(member, [attended[member] for attended in shared]) for member in members)

    def _candidate(self, member: int, rounds: Sequence[tuple[ChangeCount, float]]) -> Candidate:
        tcc = sum((changes for changes, _ in rounds), NOTHING_COUNTED)
        top1 = next((top1 for changes, top1 in reversed(rounds) if changes.has_evidence), 0.0)
        reliability = self._calibration.reliability("lowest_tcc", member, -tcc.value)
        return Candidate(member, tcc, top1, self._wins[member], reliability)


def lowest_tcc(candidates: Sequence[Candidate], best_model: int | None) -> Candidate:
    """The most stable whole run, or the most reliable one by a calibration; ties by higher top-1, then the members'
    order. Runs without evidence come last.
    """

    def rank(run: Candidate) -> tuple[bool, float | Fraction, float, int]:
        instability = run.tcc.value if run.reliability is None else -run.reliability
        return not run.tcc.has_evidence, instability, -run.top1, run.member

    return min(candidates, key=rank)


def most_selected(candidates: Sequence[Candidate], best_model: int | None) -> Candidate:
    """The member that led most rounds; ties as in `lowest_tcc`."""
    most = max(candidate.wins for candidate in candidates)
    return lowest_tcc([candidate for candidate in candidates if candidate.wins == most], best_model)


def configured_best(candidates: Sequence[Candidate], best_model: int | None) -> Candidate:
    """The member that the caller names as the best one."""
    return next(candidate for candidate in candidates if candidate.member == best_model)


def rule_among(candidates: Sequence[Candidate], asked: SelectionName, best_model: int | None) -> SelectionName:
    """The rule that can choose among these candidates: `lowest_tcc` where the best model itself was lost."""
    is_missing = best_model not in [candidate.member for candidate in candidates]
    return "lowest_tcc" if asked == "best_model" and is_missing else asked


Selection = Callable[[Sequence[Candidate], int | None], Candidate]
SELECTIONS: dict[SelectionName, Selection] = {
    "lowest_tcc": lowest_tcc,
    "best_model": configured_best,
    "most_selected": most_selected,
}
