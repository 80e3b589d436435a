"""TIE: generate, assess, relay; then choose. Sections 4.1 to 4.4 of the paper as one generator that runs no model.

It yields the work of a round and is sent the results back, in the same order. Whoever drives it owns the models, the
batches, the clocks and the errors; closing the generator cancels the request.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tie_core.canvas import Canvas
from tie_core.early_commit import commit_early
from tie_core.options import TieOptions
from tie_core.prediction import Prediction
from tie_core.relay import Relayed, Views, extends
from tie_core.scoring import (
    NOTHING_COUNTED,
    READINGS,
    ChangeCount,
    History,
    Scope,
    Score,
    history_value,
    reading_value,
)
from tie_core.selection import SELECTIONS, Candidate, ChooseLeader, Leader, choose_leader
from tie_core.trajectory import Trajectory
from tie_core.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Decode:
    """Work: denoise this member's canvas for `num_steps` (None: until complete). Answered by a `Trajectory`.

    `history` is the one to go on from. With `to_block_boundary` the round goes on to the first block boundary at or
    after `num_steps`. `first` is the prediction for this very canvas if it was already read: the first step needs
    no forward then.
    """

    member: int
    canvas: Canvas
    history: History
    num_steps: int | None
    to_block_boundary: bool = False
    first: Prediction | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """Work: one forward of this member over a canvas, committing nothing. Answered by a `Prediction`."""

    member: int
    canvas: Canvas


@dataclass(frozen=True, slots=True)
class Round:
    """A round that ended in a relay. `canvases` are the members' after it.

    `num_score_forwards` are the members' readings less those that are the next round's first predictions.
    """

    number: int
    trajectories: tuple[Trajectory, ...]
    scores: tuple[Score, ...]
    leader: Leader
    switched: bool
    relayed: tuple[Relayed, ...]
    canvases: tuple[Canvas, ...]
    num_score_forwards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end: all candidates with their canvases, answers complete, and the one that the final rule chose.

    `last_trajectories` are the members' steps since the last relay.
    """

    final: Candidate
    candidates: tuple[Candidate, ...]
    canvases: tuple[Canvas, ...]
    last_trajectories: tuple[Trajectory, ...]


Program = Generator[tuple[Decode, ...] | tuple[Probe, ...] | Round, Any, Outcome]


def tie(
    vocabularies: Sequence[Vocabulary],
    canvases: Sequence[Canvas],
    options: TieOptions,
    best_model: int | None = None,
    choose: ChooseLeader = choose_leader,
) -> Program:
    """Ensemble M members over one prompt: M blank canvases in, the chosen answer out. Any M >= 1.

    `best_model` is the member that the selection rule of that name returns. `choose` picks the leaders; evaluation
    compares the method with other ways to pick.
    """
    scopes = [_scope(vocabulary, canvas, options) for vocabulary, canvas in zip(vocabularies, canvases, strict=True)]
    ledger = [_Ledger(member) for member in range(len(canvases))]
    to_boundary = _rounds_end_at_blocks(vocabularies, options)
    canvases = tuple(canvases)
    first_predictions: tuple[Prediction | None, ...] = (None,) * len(canvases)
    leader: int | None = None
    handed_over = b""  # the committed text that the last relay gave to all
    num_rounds = max_rounds(canvases, options)

    for number in range(1, num_rounds + 1):
        # Section 4.1: every member denoises for n steps from its canvas; the last round allowed runs to the end.
        num_steps = options.interval if number < num_rounds else None
        trajectories: tuple[Trajectory, ...] = yield tuple(
            Decode(member, canvas, History(scopes[member]), num_steps, to_boundary, first_predictions[member])
            for member, canvas in enumerate(canvases)
        )
        trajectories = commit_early(trajectories, vocabularies, options)  # ours, off by default
        if any(trajectory.end.is_answered for trajectory in trajectories):
            break
        # Section 4.2: one score per trajectory; the most reliable one leads.
        views = Views([trajectory.end for trajectory in trajectories], vocabularies)
        readings = yield from _read(views, len(trajectories), options)
        scores = tuple(_assess(trajectory, views, readings, scopes, options) for trajectory in trajectories)
        prefixes = views.prefixes()
        can_lead = [member == leader or extends(prefix, handed_over) for member, prefix in enumerate(prefixes)]
        won = choose(scores, can_lead, leader)
        # Section 4.3: the leader's canvas becomes everybody's; histories start anew.
        canvases, relayed = views.relay(won.member)
        switched, leader, handed_over = leader not in (None, won.member), won.member, prefixes[won.member]
        first_predictions = tuple(readings.get(Probe(member, canvas)) for member, canvas in enumerate(canvases))
        for entry in ledger:
            entry.add(trajectories[entry.member].history, has_led=entry.member == leader)
        num_forwards = _score_forwards(readings, first_predictions)
        yield Round(number, trajectories, scores, won, switched, relayed, canvases, num_forwards)

    # Section 4.4: a completed member ends the relays; the others finish alone, and one of M candidates is chosen.
    last = yield from _finish(trajectories)
    for entry in ledger:
        entry.add(last[entry.member].history)
    candidates = tuple(entry.candidate for entry in ledger)
    final = SELECTIONS[options.selection](candidates, best_model)
    return Outcome(final, candidates, tuple(trajectory.end for trajectory in last), last)


def max_rounds(canvases: Sequence[Canvas], options: TieOptions) -> int:
    """ceil(steps / n) + 2, with the steps that the longest canvas needs alone: a request never takes more rounds."""
    per_step = options.k if options.policy == "top_k" else 1
    steps = max(canvas.layout.num_steps(per_step) for canvas in canvases)
    return ceil(steps / options.interval) + 2


def _scope(vocabulary: Vocabulary, canvas: Canvas, options: TieOptions) -> Scope:
    return Scope(canvas.layout.scored_region, vocabulary.end_ids, options.scored_positions)


def _rounds_end_at_blocks(vocabularies: Sequence[Vocabulary], options: TieOptions) -> bool:
    """Between different tokenizers a relay is exact only for whole blocks: a rule of ours."""
    if options.relay_boundary != "auto":
        return options.relay_boundary == "block"
    return any(vocabulary.fingerprint != vocabularies[0].fingerprint for vocabulary in vocabularies)


def _read(
    views: Views, num_members: int, options: TieOptions
) -> Generator[tuple[Probe, ...], tuple[Prediction, ...], dict[Probe, Prediction]]:
    """The readings that the score asks for, each canvas once: M x M with cross-model scoring, M without."""
    if options.score not in READINGS:
        return {}
    probes = dict.fromkeys(
        probe
        for source in range(num_members)
        for probe in _probes(views, source, range(num_members) if options.cross_model else (source,))
    )
    predictions = yield tuple(probes)
    return dict(zip(probes, predictions, strict=True))


def _probes(views: Views, source: int, readers: Iterable[int]) -> Iterator[Probe]:
    """One for each reader that the source's canvas fits, and that has a mask left to predict in it."""
    for reader in readers:
        view = views.view(source, reader).canvas
        if view is not None and not view.is_complete:
            yield Probe(reader, view)


def _assess(
    trajectory: Trajectory,
    views: Views,
    readings: Mapping[Probe, Prediction],
    scopes: Sequence[Scope],
    options: TieOptions,
) -> Score:
    """Section 4.2: by its own history, or by what the members make of its end."""
    history = trajectory.history
    if options.score in READINGS:
        readers = range(len(scopes)) if options.cross_model else (trajectory.member,)
        probes = _probes(views, trajectory.member, readers)
        value = reading_value([(readings[probe], scopes[probe.member]) for probe in probes], options.score)
    else:
        value = history_value(history)
    return Score(value, float(history.changes.value), history.top1, _mean_confidence(trajectory))


def _mean_confidence(trajectory: Trajectory) -> float:
    commits = trajectory.commits
    return sum(commit.confidence for commit in commits) / len(commits) if commits else 0.0


def _score_forwards(
    readings: Mapping[Probe, Prediction], first_predictions: Sequence[Prediction | None]
) -> tuple[int, ...]:
    """What scoring costs each member: M x M readings, of which M save the next round a forward each."""
    asked = Counter(probe.member for probe in readings)
    return tuple(asked[member] - (first is not None) for member, first in enumerate(first_predictions))


def _finish(
    trajectories: tuple[Trajectory, ...],
) -> Generator[tuple[Decode, ...], tuple[Trajectory, ...], tuple[Trajectory, ...]]:
    """Let the members that have not completed run to their end, each history going on unbroken."""
    unfinished = [trajectory for trajectory in trajectories if not trajectory.end.is_answered]
    if not unfinished:
        return trajectories
    rest = yield tuple(Decode(trajectory.member, trajectory.end, trajectory.history, None) for trajectory in unfinished)
    by_member = {trajectory.member: trajectory for trajectory in rest}
    return tuple(
        trajectory.followed_by(by_member[trajectory.member]) if trajectory.member in by_member else trajectory
        for trajectory in trajectories
    )


@dataclass(slots=True)
class _Ledger:
    """What one member did over the whole run, history by history: pairs across a relay are never counted."""

    member: int
    tcc: ChangeCount = NOTHING_COUNTED
    top1: float = 0.0
    wins: int = 0

    def add(self, history: History, *, has_led: bool = False) -> None:
        self.tcc += history.changes
        self.top1 = history.top1 if history.changes.has_evidence else self.top1
        self.wins += has_led

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.member, self.tcc, self.top1, self.wins)
