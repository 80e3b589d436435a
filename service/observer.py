"""What the engine reports, as metrics; and the canvases of each round, for snapshots.

Called from the engine's threads. Knows nothing of HTTP.
"""

from collections.abc import Callable
from dataclasses import asdict

from structlog.typing import FilteringBoundLogger

from service.log import log_bug
from service.metrics import EngineMetrics
from tie_core.canvas import Canvas
from tie_core.engine.observer import Observer, Tick
from tie_core.engine.warm_up import WarmUp
from tie_core.events import Completed, Failed
from tie_core.request import Request
from tie_core.tie import Outcome, Round
from tie_core.trajectory import Trajectory

CanvasSink = Callable[[str, tuple[Canvas, ...]], None]


class EngineObserver(Observer):
    """`put_canvases` takes a request's id and where a relay left its members."""

    def __init__(self, metrics: EngineMetrics, put_canvases: CanvasSink, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log
        self._put_canvases = put_canvases
        self._last_rounds: dict[str, tuple[int, str]] = {}  # number and leader, of each running request

    def on_warm_up(self, member: str, warmed: WarmUp) -> None:
        self._log.info(
            "warmed up",
            model=member,
            seconds=round(warmed.seconds, 3),
            lanes=warmed.num_lanes,
            threads=warmed.num_threads,
            max_positions=warmed.max_positions,
            position_bytes=warmed.position_bytes,
            **{f"{cost}_us": round(1e6 * seconds, 3) for cost, seconds in asdict(warmed.costs).items()},
        )

    def on_out_of_memory(self, member: str, num_positions: int) -> None:
        self._metrics.out_of_memory.labels(member).inc()
        self._log.warning("out of memory", model=member, positions=num_positions)

    def on_tick(self, tick: Tick) -> None:
        metrics = self._metrics
        metrics.step_duration.labels(tick.member).observe(tick.seconds)
        metrics.batch_rows.labels(tick.member).observe(tick.decode_rows + tick.score_rows)
        metrics.forwards.labels(tick.member, "decode").inc(tick.decode_rows)
        metrics.forwards.labels(tick.member, "score").inc(tick.score_rows)
        metrics.positions.labels(tick.member, "decode").inc(tick.decode_positions)
        metrics.positions.labels(tick.member, "score").inc(tick.score_positions)

    def on_barrier_wait(self, member: str, seconds: float) -> None:
        self._metrics.barrier_wait.labels(member).observe(seconds)

    def on_round(self, request: Request, ended: Round, seconds: float) -> None:
        score, leader = request.options.score, request.members[ended.leader.member].name
        self._metrics.round_duration.labels(request.ensemble).observe(seconds)
        self._metrics.rounds.labels(request.ensemble, score).inc()
        self._metrics.wins.labels(leader, score).inc()
        if ended.leader.shared_the_best_score:
            self._metrics.ties.labels(score).inc()
        self._count_relay(request, ended, leader)
        self._count_steps(request, ended.trajectories, ended.leader.member)
        self._last_rounds[request.id] = ended.number, leader
        self._put_canvases(request.id, ended.canvases)

    def on_restart(self, member: str) -> None:
        self._metrics.restarts.labels(member).inc()
        self._log.warning("restarted", model=member)

    def on_bug(self, error: Exception) -> None:
        log_bug(self._log, error)

    def on_end(self, request: Request, event: Completed | Failed, outcome: Outcome | None) -> None:
        num_rounds, _ = self._last_rounds.pop(request.id, (0, ""))
        if isinstance(event, Completed):
            for model, reason in {(lost.model, lost.reason) for lost in event.tie.lost}:
                self._metrics.degraded.labels(model, reason).inc()
        if outcome is None:
            return
        self._metrics.request_rounds.observe(num_rounds)
        final = request.members[outcome.final.member].name
        self._metrics.selections.labels(final, outcome.rule).inc()
        self._count_steps(request, outcome.last_trajectories, outcome.final.member)

    def _count_relay(self, request: Request, ended: Round, leader: str) -> None:
        if ended.switched:
            _, last_leader = self._last_rounds[request.id]
            self._metrics.switches.labels(last_leader, leader).inc()
        for relay in ended.relayed:
            self._metrics.transcodes.labels(leader, request.members[relay.member].name, relay.result).inc()

    def _count_steps(self, request: Request, trajectories: tuple[Trajectory, ...], kept: int) -> None:
        """The leader's commits are kept, the others' discarded."""
        for trajectory in trajectories:
            name = request.members[trajectory.member].name
            self._metrics.steps.labels(name).inc(trajectory.num_steps)
            fate = "kept" if trajectory.member == kept else "discarded"
            num_commits = len(trajectory.commits) + len(trajectory.early_commits)
            self._metrics.committed.labels(name, fate).inc(num_commits)
