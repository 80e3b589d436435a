"""TIE: generate, assess, relay; then choose. Sections 4.1 to 4.4 of the paper as one generator that runs no model.

It yields the work of a round and is sent the results back, in the same order, or `Lost` where there is none: the round
then is that of the members left. Whoever drives it owns the models, the batches, the clocks and the errors; closing the
generator cancels the request.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tie_core.calibration import PLAIN, Calibration
from tie_core.canvas import Canvas
from tie_core.early_commit import commit_early
from tie_core.lost import Attendance, Lost
from tie_core.options import SelectionName, TieOptions
from tie_core.prediction import Prediction
from tie_core.relay import Relayed, Views, extends
from tie_core.scoring import (
    SCORES,
    Evidence,
    History,
    Scope,
    Score,
    commit_value,
)
from tie_core.selection import SELECTIONS, Candidate, ChooseLeader, Leader, Ledger, choose_leader, rule_among
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
    """A round that ended in a relay. `canvases` are all members' after it.

    `trajectories` and their `scores` are those of the members left; the others are in `lost`, whenever in the round
    they failed. `num_score_forwards` are the members' readings less those that are the next round's first predictions.
    """

    number: int
    trajectories: tuple[Trajectory, ...]
    scores: tuple[Score, ...]
    leader: Leader
    switched: bool
    relayed: tuple[Relayed, ...]
    canvases: tuple[Canvas, ...]
    num_score_forwards: tuple[int, ...]
    lost: Mapping[int, Lost]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end: all candidates with their canvases, answers complete, and the one that the `rule` chose.

    `last_trajectories` are the candidates' steps since the last relay; `lost` are who was lost after it.
    """

    final: Candidate
    rule: SelectionName
    candidates: tuple[Candidate, ...]
    canvases: tuple[Canvas, ...]
    last_trajectories: tuple[Trajectory, ...]
    lost: Mapping[int, Lost]

    @property
    def final_canvas(self) -> Canvas:
        return self.canvases[self.candidates.index(self.final)]


Program = Generator[tuple[Decode, ...] | tuple[Probe, ...] | Round, Any, Outcome]


def tie(
    vocabularies: Sequence[Vocabulary],
    canvases: Sequence[Canvas],
    options: TieOptions,
    best_model: int | None = None,
    choose: ChooseLeader = choose_leader,
    is_normalised: bool = True,
    calibration: Calibration = PLAIN,
) -> Program:
    """Ensemble M members over one prompt: M blank canvases in, the chosen answer out. Any M >= 1.

    `best_model` is the member that the selection rule of that name returns. `choose` picks the leaders, and
    `is_normalised` divides token changes by |A|: evaluation compares the method with other ways to do either.
    `calibration` makes the members' scores comparable where it has their rule (ours, off by default).

    Raises:
        NoMemberLeftError, MemberError: fewer members than `min_models` were left in a round.
    """
    scopes = [
        Scope(canvas.layout.scored_region, vocabulary.end_ids, options.scored_positions, is_normalised)
        for vocabulary, canvas in zip(vocabularies, canvases, strict=True)
    ]
    ledger = Ledger(calibration)
    to_boundary = _rounds_end_at_blocks(vocabularies, options)
    canvases = tuple(canvases)
    first_predictions: tuple[Prediction | None, ...] = (None,) * len(canvases)
    leader: int | None = None
    handed_over = b""  # the committed text that the last relay gave to all
    num_rounds = max_rounds(canvases, options)

    for number in range(1, num_rounds + 1):
        # Section 4.1: every member denoises for n steps from its canvas; the last round allowed runs to the end.
        num_steps = options.interval if number < num_rounds else None
        work = tuple(
            Decode(member, canvas, History(scopes[member]), num_steps, to_boundary, first_predictions[member])
            for member, canvas in enumerate(canvases)
        )
        attendance = Attendance(len(canvases), options.min_models)
        decoded = yield from attendance.ask(work)
        trajectories = commit_early(tuple(run for _, run in decoded), vocabularies, options)  # ours, off by default
        # Section 4.2: one score per trajectory; the most reliable one leads.
        trajectories, views, readings = yield from _read(canvases, trajectories, vocabularies, options, attendance)
        if _any_is_answered(trajectories):
            break
        scores = {run.member: _assess(run, views, readings, scopes, options, calibration) for run in trajectories}
        prefixes = views.prefixes()
        won = _lead(choose, scores, prefixes, leader, handed_over)
        # Section 4.3: the leader's canvas becomes everybody's; histories start anew.
        canvases, relayed = views.relay(won.member)
        switched, leader, handed_over = leader not in (None, won.member), won.member, prefixes[won.member]
        first_predictions = tuple(readings.get(Probe(member, canvas)) for member, canvas in enumerate(canvases))
        ledger.add({run.member: run.history for run in trajectories}, leader)
        num_forwards = _score_forwards(readings, first_predictions)
        all_scores = tuple(scores.values())
        yield Round(number, trajectories, all_scores, won, switched, relayed, canvases, num_forwards, attendance.lost)

    # Section 4.4: a completed member ends the relays; the others finish alone, and one of M candidates is chosen.
    last = yield from _finish(trajectories, attendance)
    ledger.add({run.member: run.history for run in last})
    candidates = ledger.candidates()
    rule = rule_among(candidates, options.selection, best_model)
    final = SELECTIONS[rule](candidates, best_model)
    return Outcome(final, rule, candidates, tuple(run.end for run in last), last, attendance.lost)


def max_rounds(canvases: Sequence[Canvas], options: TieOptions) -> int:
    """ceil(steps / n) + 2, with the steps that the longest canvas needs alone: a request never takes more rounds."""
    per_step = options.k if options.policy == "top_k" else 1
    steps = max(canvas.layout.num_steps(per_step) for canvas in canvases)
    return ceil(steps / options.interval) + 2


def _rounds_end_at_blocks(vocabularies: Sequence[Vocabulary], options: TieOptions) -> bool:
    """Between different tokenizers a relay is exact only for whole blocks: a rule of ours."""
    if options.relay_boundary != "auto":
        return options.relay_boundary == "block"
    return any(vocabulary.fingerprint != vocabularies[0].fingerprint for vocabulary in vocabularies)


def _any_is_answered(trajectories: Iterable[Trajectory]) -> bool:
    return any(run.end.is_answered for run in trajectories)


def _ends(canvases: Sequence[Canvas], trajectories: Iterable[Trajectory]) -> list[Canvas]:
    """Where the members are: one that is lost is where the last relay left it."""
    ends = dict(enumerate(canvases)) | {run.member: run.end for run in trajectories}
    return list(ends.values())


def _lead(
    choose: ChooseLeader,
    scores: Mapping[int, Score],
    prefixes: Sequence[bytes],
    last_leader: int | None,
    handed_over: bytes,
) -> Leader:
    """The best of those that go on from what was handed over. If the last leader is lost perhaps nobody does, where
    the relay had no room for all of it: then the best of those that keep most of it.
    """
    going_on = {
        member for member in scores if member == last_leader or extends(prefixes[member], handed_over)
    }  # fmt: skip
    kept = {member: _num_shared(prefixes[member], handed_over) for member in scores}
    can_lead = going_on or {member for member, length in kept.items() if length == max(kept.values())}
    members = range(len(prefixes))
    won = choose([scores.get(member) for member in members], [member in can_lead for member in members], last_leader)
    return won if going_on else Leader(won.member, "leader_lost")


def _num_shared(one: bytes, other: bytes) -> int:
    return next(
        (index for index, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1),
        min(len(one), len(other)),
    )


def _read(
    canvases: Sequence[Canvas],
    trajectories: tuple[Trajectory, ...],
    vocabularies: Sequence[Vocabulary],
    options: TieOptions,
    attendance: Attendance,
) -> Generator[tuple[Probe, ...], Any, tuple[tuple[Trajectory, ...], Views, dict[Probe, Prediction]]]:
    """The trajectories as each member sees them, and the readings that the score asks for, each canvas once: M x M with
    cross-model scoring, M or none without. A member that is lost in them was not there: all that comes back is as
    without it.
    """
    views = Views(_ends(canvases, trajectories), vocabularies)
    if SCORES[options.score].readers == "nobody" or _any_is_answered(trajectories):
        return trajectories, views, {}
    read = dict((yield from attendance.ask(_probes_of_all(views, trajectories, options))))
    left = attendance.left(trajectories)
    if len(left) < len(trajectories):
        left = commit_early(left, vocabularies, options)
        views = Views(_ends(canvases, left), vocabularies)
    probes = () if _any_is_answered(left) else _probes_of_all(views, left, options)
    return left, views, {probe: read[probe] for probe in probes}


def _probes_of_all(views: Views, trajectories: Sequence[Trajectory], options: TieOptions) -> tuple[Probe, ...]:
    members = [run.member for run in trajectories]
    return tuple(
        dict.fromkeys(
            probe for source in members for probe in _probes(views, source, _readers(options, source, members))
        )
    )


def _readers(options: TieOptions, source: int, members: Iterable[int]) -> Iterable[int]:
    """Who reads the end of a trajectory, of these members."""
    readers = SCORES[options.score].readers
    if readers == "nobody":
        return ()
    return members if readers == "everybody" and options.cross_model else (source,)


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
    calibration: Calibration,
) -> Score:
    """Section 4.2: by its own history, by what it committed, or by what the members make of its end."""
    history, readers = trajectory.history, _readers(options, trajectory.member, range(len(scopes)))
    read = [
        (readings[probe], scopes[probe.member])
        for probe in _probes(views, trajectory.member, readers)
        if probe in readings
    ]
    evidence = Evidence(history, [commit.confidence for commit in trajectory.commits], read)
    value = calibration.comparable(options.score, trajectory.member, SCORES[options.score].value(evidence))
    return Score(value, float(history.changes.value), history.top1, commit_value(evidence) or 0.0)


def _score_forwards(
    readings: Mapping[Probe, Prediction], first_predictions: Sequence[Prediction | None]
) -> tuple[int, ...]:
    """What scoring costs each member: its readings, less the one that saves its next round a forward."""
    asked = Counter(probe.member for probe in readings)
    return tuple(asked[member] - (first is not None) for member, first in enumerate(first_predictions))


def _finish(
    trajectories: tuple[Trajectory, ...], attendance: Attendance
) -> Generator[tuple[Decode, ...], Any, tuple[Trajectory, ...]]:
    """Let the members that have not completed run to their end, each history going on unbroken."""
    unfinished = [run for run in trajectories if not run.end.is_answered]
    if not unfinished:
        return trajectories
    work = tuple(Decode(run.member, run.end, run.history, None) for run in unfinished)
    by_member = {run.member: run for _, run in (yield from attendance.ask(work))}
    return tuple(
        run.followed_by(by_member[run.member]) if run.member in by_member else run
        for run in attendance.left(trajectories)
    )
