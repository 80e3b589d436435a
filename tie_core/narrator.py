"""Tells a request's story: turns steps, rounds and the outcome into events. One narrator per request, one thread.

Knows what happened, not how it ran: the plain driver and the engine both narrate through it.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial

from tie_core.canvas import Canvas, Commit
from tie_core.denoising import Step
from tie_core.events import (
    Answer,
    CanvasInfo,
    Completed,
    Created,
    Event,
    LostInfo,
    ModelInfo,
    NfeInfo,
    Placed,
    RelayInfo,
    RoundEnded,
    ScoreInfo,
    Started,
    StepTaken,
    TieInfo,
    Timings,
)
from tie_core.lost import Lost
from tie_core.options import Approximation, SelectionName
from tie_core.relay import Relayed
from tie_core.request import Request
from tie_core.scoring import History
from tie_core.settled import SettledText
from tie_core.tie import Outcome, Round
from tie_core.told import (
    answer_probe_of,
    before_first_mask,
    changes_of,
    finish_reason_of,
    text_of,
    told_tokens,
    usage_of,
)
from tie_core.trajectory import Trajectory


class Stopwatch:
    """Seconds by phase: `queue`, `decode`, `score`, `relay`. Each lap charges the time since the last one."""

    def __init__(self) -> None:
        self.start = self._last = time.monotonic()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def lap(self, phase: str) -> float:
        now = time.monotonic()
        elapsed, self._last = now - self._last, now
        self.seconds[phase] += elapsed
        return elapsed


class Narrator:
    """Events of one request, in order. `stopwatch` belongs to whoever drives the request.

    Suffixes may differ in length between tokenizers; events count every position as behind the longest one, so that
    the answer has one place for all members.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._names = [member.name for member in request.members]
        self.stopwatch = Stopwatch()
        self._first_state: float | None = None
        self._round = 1
        self._num_suffix = max(canvas.layout.suffix for canvas in request.canvases)
        self._shown: dict[int, str] = {}  # the last leader's committed tokens, by position
        self._settled = SettledText([member.vocabulary for member in request.members], request.ending)
        self._decode_forwards = Counter[int]()
        self._score_forwards = Counter[int]()
        self._wins = Counter[int]()
        self._switches = 0
        self._rounds = 0
        self._leader, self._canvases = 0, request.canvases  # of the last round, and after it
        self._approximations: set[Approximation] = set()
        self._lost: list[LostInfo] = []

    def created(self, queue_position: int) -> Created:
        request, layout, suffix = self._request, self._request.canvases[0].layout, self._num_suffix
        return Created(
            id=request.id,
            ensemble=request.ensemble,
            models=tuple(
                ModelInfo(member.name, member.model.family, member.vocabulary.fingerprint, index)
                for member, index in zip(request.members, request.indices, strict=True)
            ),
            canvas=CanvasInfo(
                layout.reasoning + suffix + layout.answer,
                layout.block_size,
                layout.reasoning,
                suffix,
                layout.answer,
            ),
            options=asdict(request.options),
            queue_position=queue_position,
        )

    def started(self) -> Started:
        self.stopwatch.lap("queue")
        return Started(_milliseconds(self.stopwatch.seconds["queue"]))

    def step(self, member: int, step: Step) -> StepTaken:
        self._note_first_state()
        return self._step_taken(member, step.number, step.commits, step.canvas, step.history)

    def _early_step(self, run: Trajectory) -> StepTaken:
        return self._step_taken(run.member, run.num_steps + 1, run.early_commits, run.end, run.history)

    def _step_taken(
        self, member: int, number: int, commits: tuple[Commit, ...], canvas: Canvas, history: History
    ) -> StepTaken:
        decode = self._request.members[member].vocabulary.decode
        return StepTaken(
            round=self._round,
            step=number,
            model=self._names[member],
            set=tuple(
                Placed(self._told(member, commit.position), decode((commit.token,)), round(commit.confidence, 6))
                for commit in commits
            ),
            masked_left=canvas.masked_left,
            answer_probe=answer_probe_of(self._request.members[member], canvas, history),
        )

    def round(self, ended: Round) -> Iterator[Event]:
        """The round's event, and an answer event once answer tokens are committed."""
        self._note_first_state()
        self._count(ended.trajectories, ended.num_score_forwards)
        leader = ended.leader.member
        leading = next(run for run in ended.trajectories if run.member == leader)
        self._wins[leader] += 1
        self._switches += ended.switched
        self._rounds = ended.number
        before, self._leader, self._canvases = self._canvases, leader, ended.canvases
        placed, unset = self._show(leading)
        yield RoundEnded(
            round=ended.number,
            steps={self._names[run.member]: run.num_steps for run in ended.trajectories},
            scores={
                self._names[run.member]: ScoreInfo(score.value, score.tcc, score.top1)
                for run, score in zip(ended.trajectories, ended.scores, strict=True)
            },
            leader=self._names[leader],
            switched=ended.switched,
            tie_break=ended.leader.tie_break,
            set=placed,
            unset=unset,
            relayed=tuple(
                self._relay(relay, before[relay.member], ended.canvases[relay.member]) for relay in ended.relayed
            ),
            nfe=self._nfe(),
            masked_left=leading.end.masked_left,
            answer_probe=answer_probe_of(self._request.members[leader], leading.end, leading.history),
            settled=self._settled.advance(ended.canvases),
            lost=self._note_lost(ended.number, ended.lost),
        )
        yield from self._answer(leader, leading.end)
        self._round = ended.number + 1

    def completed(self, outcome: Outcome) -> Iterator[Event]:
        """The steps of an early commit for listeners that ask for steps, the last answer event and the result."""
        self._count(outcome.last_trajectories, (0,) * len(self._names))
        self._note_lost(self._round, outcome.lost)
        if self._request.wants_steps:
            yield from (self._early_step(run) for run in outcome.last_trajectories if run.early_commits)
        final = outcome.final.member
        yield from self._answer(final, outcome.final_canvas)
        scores = {
            self._names[run.member]: float(run.tcc.value) if run.tcc.has_evidence else None
            for run in outcome.candidates
        }
        canvases = {run.member: canvas for run, canvas in zip(outcome.candidates, outcome.canvases, strict=True)}
        yield self._ended(final, canvases, scores, outcome.rule)

    def cut_off(self, answered: Trajectory | None) -> Completed:
        """The deadline came first: the answer of a member that had completed, or else what the last leader had
        committed, up to its first mask. Nothing is chosen.
        """
        rule, scores = self._request.options.selection, dict.fromkeys(self._names)
        canvases = dict(enumerate(self._canvases))
        if answered is not None:
            self._count((answered,), (0,) * len(self._names))
            self._leader, canvases[answered.member] = answered.member, answered.end
        ended = self._ended(self._leader, canvases, scores, rule)
        return replace(ended, finish_reason="deadline", tie=replace(ended.tie, partial=True))

    def _ended(
        self, final: int, canvases: Mapping[int, Canvas], scores: dict[str, float | None], rule: SelectionName
    ) -> Completed:
        canvas, member, ending = canvases[final], self._request.members[final], self._request.ending
        parts, is_stopped = ending.of(told_tokens(member, canvas), member.vocabulary)
        return Completed(
            id=self._request.id,
            text=parts.text,
            reasoning=parts.reasoning,
            answer=(parts.answer if canvas.layout.answer else parts.reasoning).strip(),
            finish_reason=finish_reason_of(member, canvas, ending, is_stopped),
            usage=usage_of(canvas, ending.max_tokens),
            tie=self._tie_info(final, canvases, scores, rule),
            timings=self._timings(),
        )

    def _tie_info(
        self, final: int, canvases: Mapping[int, Canvas], scores: dict[str, float | None], rule: SelectionName
    ) -> TieInfo:
        members = self._request.members
        return TieInfo(
            rounds=self._rounds,
            switches=self._switches,
            wins={name: self._wins[member] for member, name in enumerate(self._names)},
            final_model=self._names[final],
            final_rule=rule,
            scores=scores,
            nfe=self._nfe(),
            scored="answer" if canvases[final].layout.answer else "all",
            candidates={
                self._names[number]: text_of(
                    members[number], canvas, before_first_mask(canvas, canvas.layout.scored_region)
                ).strip()
                for number, canvas in canvases.items()
            },
            degraded=bool(self._lost),
            approximations=tuple(sorted(self._approximations)),
            lost=tuple(self._lost),
        )

    def _timings(self) -> Timings:
        seconds = self.stopwatch.seconds
        total = time.monotonic() - self.stopwatch.start
        return Timings(
            queue_ms=_milliseconds(seconds["queue"]),
            first_state_ms=_milliseconds(total if self._first_state is None else self._first_state),
            decode_ms=_milliseconds(seconds["decode"]),
            score_ms=_milliseconds(seconds["score"]),
            transcode_ms=_milliseconds(seconds["relay"]),
            total_ms=_milliseconds(total),
        )

    def _note_first_state(self) -> None:
        if self._first_state is None:
            self._first_state = time.monotonic() - self.stopwatch.start

    def _count(self, trajectories: tuple[Trajectory, ...], num_score_forwards: tuple[int, ...]) -> None:
        """A step's prediction counts as decoding even if it was read before its round."""
        for trajectory in trajectories:
            self._decode_forwards[trajectory.member] += trajectory.num_steps
            self._score_forwards[trajectory.member] += num_score_forwards[trajectory.member]
            self._approximations |= trajectory.approximations

    def _note_lost(self, number: int, lost: Mapping[int, Lost]) -> tuple[LostInfo, ...]:
        told = tuple(LostInfo(number, self._names[member], lost[member].reason) for member in sorted(lost))
        self._lost += told
        return told

    def _nfe(self) -> dict[str, NfeInfo]:
        return {
            name: NfeInfo(self._decode_forwards[member], self._score_forwards[member])
            for member, name in enumerate(self._names)
        }

    def _relay(self, relay: Relayed, before: Canvas, after: Canvas) -> RelayInfo:
        """With what changed on the member's canvas between two rounds."""
        placed, unset = changes_of(self._request.members[relay.member], before, after)
        told = partial(self._told, relay.member)
        return RelayInfo(
            self._names[relay.member],
            relay.result,
            relay.remasked,
            set=tuple(Placed(told(position), text, None) for position, text in placed),
            unset=tuple(map(told, unset)),
        )

    def _show(self, leading: Trajectory) -> tuple[tuple[Placed, ...], tuple[int, ...]]:
        """What changes on screen when the leader's canvas replaces the last shown one."""
        vocabulary, canvas = self._request.members[leading.member].vocabulary, leading.end
        suffix = canvas.layout.suffix_region
        shown = {
            self._told(leading.member, position): vocabulary.decode((token,))
            for position, token in enumerate(canvas.generated)
            if position not in suffix and not canvas.is_masked(position)
        }
        confidence = {
            self._told(leading.member, commit.position): round(commit.confidence, 6) for commit in leading.commits
        }
        placed = tuple(
            Placed(position, text, confidence.get(position))
            for position, text in shown.items()
            if self._shown.get(position) != text
        )
        unset = tuple(position for position in self._shown if position not in shown)
        self._shown = shown
        return placed, unset

    def _told(self, member: int, position: int) -> int:
        """A member's position as events name it."""
        layout = self._request.canvases[member].layout
        return position + self._num_suffix - layout.suffix if position in layout.answer_region else position

    def _answer(self, member: int, canvas: Canvas) -> Iterator[Answer]:
        region = canvas.layout.scored_region
        masked = len(canvas.masked(region))
        if masked < len(region):
            text = text_of(self._request.members[member], canvas, region)
            yield Answer(text, round(1 - masked / len(region), 6))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
