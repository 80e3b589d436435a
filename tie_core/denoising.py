"""One job on one member: a canvas being denoised step by step, or read once. Section 4.1.

Runs no model: it says what it wants read and is given predictions, one by one. That is the plain path. A worker makes
the same steps of many jobs at once, on arrays, and tells each job what it came to.
"""

from dataclasses import dataclass
from math import inf

from tie_core.canvas import Canvas, Commit
from tie_core.member import Query
from tie_core.models.key_values import CanvasCache
from tie_core.options import SuppressEnd, TieOptions
from tie_core.prediction import Prediction
from tie_core.scoring import History
from tie_core.tie import Decode, Probe
from tie_core.trajectory import Trajectory
from tie_core.unmasking import POLICIES, Candidates


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step, the `number`-th of its job: the prediction, what it committed, and where that led."""

    number: int
    prediction: Prediction
    commits: tuple[Commit, ...]
    canvas: Canvas
    history: History


@dataclass(frozen=True, slots=True)
class Stretch:
    """Denoising steps that somebody else made from where the job was, a forward each: where they led, and what they
    committed, in order.
    """

    canvas: Canvas
    history: History
    commits: tuple[Commit, ...]
    num_steps: int
    num_filled: int
    num_windowed: int


class WindowCache:
    """What a step reads under `cache: window`; the round is the epoch of the cache.

    The first forward reads the whole canvas and keeps its keys and values; so does every `refresh_interval`-th one
    after it. The others read the active block, every masked scored position, and what was committed since.
    """

    def __init__(self, refresh_interval: int) -> None:
        self.num_windowed = 0
        self.kept = CanvasCache()
        self._refresh_interval = refresh_interval
        self._read: Canvas | None = None  # as it was when it was last read whole
        self._since_whole = 0

    def query(self, canvas: Canvas, suppress_end: SuppressEnd) -> Query:
        fresh = None if self._is_due else self._window(canvas)
        return Query(canvas, canvas.watched, suppress_end, self.kept, fresh)

    def after_forward(self, canvas: Canvas) -> None:
        """`canvas` is what the forward read."""
        if self._is_due:
            self._read, self._since_whole = canvas, 1
        else:
            self._since_whole += 1
            self.num_windowed += 1

    @property
    def _is_due(self) -> bool:
        return self._read is None or self._since_whole >= self._refresh_interval

    def _window(self, canvas: Canvas) -> tuple[int, ...]:
        assert self._read is not None
        changed = (
            position for position, token in enumerate(self._read.generated) if token != canvas.generated[position]
        )
        return tuple(sorted({*canvas.active_block, *canvas.watched, *changed}))


class Denoising:
    """A `Decode` in progress."""

    def __init__(self, work: Decode, options: TieOptions) -> None:
        self.work = work
        self.canvas = work.canvas
        self.history = work.history
        self.options = options
        self.num_steps = 0
        self.cache = WindowCache(options.refresh_interval) if options.cache == "window" else None
        self._commits: list[Commit] = []
        self._num_filled = 0
        self._num_forwards = 0

    @property
    def is_finished(self) -> bool:
        if self.canvas.is_complete:
            return True
        if self.work.num_steps is None or self.num_steps < self.work.num_steps:
            return False
        return self.canvas.is_at_block_boundary or not self.work.to_block_boundary

    @property
    def query(self) -> Query:
        if self.cache is not None:
            return self.cache.query(self.canvas, self.options.suppress_end)
        return Query(self.canvas, self.canvas.watched, self.options.suppress_end)

    def begin(self) -> Step | None:
        """Take the first step without a forward, if this canvas was already read."""
        if self.work.first is None or self.is_finished:
            return None
        return self._step(self.work.first)

    def accept(self, prediction: Prediction) -> Step:
        """Take the step that a forward's prediction leads to."""
        self._num_forwards += 1
        if self.cache is not None:
            self.cache.after_forward(self.canvas)
        return self._step(prediction)

    def _step(self, prediction: Prediction) -> Step:
        chosen = choose_commits(self.canvas, prediction, self.options)
        filled = self.canvas.fill_end(chosen) if self.options.fill_end else ()
        commits = chosen + filled
        self.canvas = self.canvas.commit(commits)
        self._num_filled += len(filled)
        self.history = self.history.after(prediction)
        self._commits += commits
        self.num_steps += 1
        return Step(self.num_steps, prediction, commits, self.canvas, self.history)

    def catch_up(self, made: Stretch) -> Step:
        """Take over steps that were made in a batch. The last of them, as if `made` had been it alone."""
        self.canvas, self.history = made.canvas, made.history
        self.num_steps += made.num_steps
        self._num_forwards += made.num_steps
        self._num_filled += made.num_filled
        self._commits += made.commits
        if self.cache is not None:
            self.cache.num_windowed += made.num_windowed
        assert made.history.last is not None
        return Step(self.num_steps, made.history.last, made.commits, made.canvas, made.history)

    @property
    def result(self) -> Trajectory:
        assert self.is_finished
        return Trajectory(
            member=self.work.member,
            start=self.work.canvas,
            end=self.canvas,
            history=self.history,
            commits=tuple(self._commits),
            num_steps=self.num_steps,
            num_forwards=self._num_forwards,
            num_filled=self._num_filled,
            num_windowed=self.cache.num_windowed if self.cache else 0,
        )


class Probing:
    """A `Probe` in progress: finished by one prediction."""

    def __init__(self, work: Probe, options: TieOptions) -> None:
        self.work = work
        self.canvas = work.canvas
        self.options = options
        self.cache = None
        self._prediction: Prediction | None = None

    @property
    def is_finished(self) -> bool:
        return self._prediction is not None

    @property
    def query(self) -> Query:
        return Query(self.canvas, self.canvas.watched, self.options.suppress_end)

    def begin(self) -> None:
        return None

    def accept(self, prediction: Prediction) -> None:
        self._prediction = prediction

    @property
    def result(self) -> Prediction:
        assert self._prediction is not None
        return self._prediction


Job = Denoising | Probing


def make_job(work: Decode | Probe, options: TieOptions) -> Job:
    return Denoising(work, options) if isinstance(work, Decode) else Probing(work, options)


def choose_commits(canvas: Canvas, prediction: Prediction, options: TieOptions) -> tuple[Commit, ...]:
    """What the unmasking policy commits of the eligible positions."""
    eligible = set(canvas.eligible)
    rows = [row for row, position in enumerate(prediction.positions) if position in eligible]
    candidates = Candidates(
        [prediction.confidences[row] for row in rows], [_entropy_of_proposal(prediction, row) for row in rows]
    )
    chosen = POLICIES[options.policy](candidates, options)
    return tuple(
        Commit(prediction.positions[row], prediction.proposals[row], prediction.confidences[row])
        for row in (rows[index] for index in chosen)
    )


def _entropy_of_proposal(prediction: Prediction, row: int) -> float:
    """In nats; infinite where the proposal is held back or is not what the model itself would say."""
    is_own = prediction.proposals[row] == prediction.tokens[row] and prediction.confidences[row] > 0
    return -prediction.negative_entropy[row] if is_own else inf
