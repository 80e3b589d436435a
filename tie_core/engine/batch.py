"""All running rows of a worker as flat arrays: a step of all of them is a fixed number of array calls.

The rows' canvases lie end to end; arrays are over their N positions, over the K watched ones, or over the R rows. What
a step does to a row is what `Denoising` does: the tests hold the two together, field by field, bit for bit.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
import torch

from tie_core.batched_unmasking import BATCHED_POLICIES, CandidateRows
from tie_core.canvas import Canvas, Commit
from tie_core.denoising import Denoising, Job, Step, Stretch
from tie_core.engine.backlog import Row
from tie_core.engine.budget import Load
from tie_core.engine.packing import Packer, packing_key
from tie_core.engine.row_state import Bools, Floats, Ints, RowArrays
from tie_core.engine.watch import Watch, Watcher, is_read_whole
from tie_core.member import Member, Pack
from tie_core.options import PolicyName
from tie_core.prediction import Columns, Prediction
from tie_core.scoring import ChangeCount, History


class Batch:
    """`rows` are in the order in which they are packed. It takes their states over; `park` gives them back.

    A tick is `pack`, a forward, `step` with what it read, and `catch_up` for every row that is finished or told.
    """

    def __init__(self, rows: Iterable[Row], member: Member) -> None:
        self.rows = sorted(rows, key=lambda row: packing_key(row.job))
        self._arrays = RowArrays.joined([row.state for row in self.rows])
        self._row, self._cells = self._arrays.row, self._arrays.cells
        self._model = member.model
        self._is_end = member.is_end
        self._ids = self._model.upload(torch.from_numpy(self._arrays.ids))  # on the CPU the same memory

        jobs = [row.job for row in self.rows]
        self.is_told = np.array([row.wants_steps for row in self.rows])  # [R], of every step
        self._all_decode = all(isinstance(job, Denoising) for job in jobs)
        self._has_windows = any(job.cache for job in jobs)
        self._has_limits = any(isinstance(job, Denoising) and job.history.scope.limit is not None for job in jobs)
        self._fills_ends = any(job.options.fill_end for job in jobs)
        self._policies = _rows_by_policy(jobs)

        self._packer = Packer(self._arrays, jobs, self._ids, self._model)
        self._watcher = Watcher(self._arrays, self._has_windows, self._model.logits_are_shifted)
        self._watch = self._watcher.look()
        self._last: tuple[Watch, Columns] | None = None  # what the last step was asked, and told

    def park(self) -> None:
        """Give every row its state and its load, to go on in another batch."""
        for row, state, load in zip(self.rows, self._arrays.split(), self._loads(), strict=True):
            row.state, row.load = state, load

    @property
    def load(self) -> Load:
        """Of the next forward."""
        num_read = self._watch.num_read
        return Load(int(num_read.sum()), int(num_read @ self._row["length"]), len(self._watch.positions))

    def _loads(self) -> list[Load]:
        num_read = self._watch.num_read
        shares = num_read, num_read * self._row["length"], np.diff(self._watch.bounds)
        return [Load(*share) for share in zip(*(share.tolist() for share in shares), strict=True)]

    @property
    def num_read(self) -> Ints:
        """[R], positions of the next forward."""
        return self._watch.num_read

    @property
    def is_decoding(self) -> Bools:
        return self._row["is_decoding"]

    @property
    def is_finished(self) -> Bools:
        """[R], after a step. A reading is finished by its first."""
        is_due = self._row["num_steps"] >= self._row["last_step"]
        may_end = self._watch.is_at_boundary | ~self._row["to_block_boundary"]
        finished: Bools = self._watch.is_complete | (is_due & may_end)
        return finished

    def pack(self, first: int, last: int) -> Pack:
        """What the next forward reads of the rows from `first` to before `last`."""
        return self._packer.pack(self._watch, first, last)

    def watched(self, first: int, last: int) -> slice:
        """Where what it tells of them is among all that is watched."""
        return self._watch.span(first, last)

    def rows_with(self, is_chosen: Bools) -> list[int]:
        """The rows that some of the chosen watched positions `[K]` belong to."""
        numbers: list[int] = np.unique(self._watch.row_of[is_chosen]).tolist()
        return numbers

    def step(self, columns: Columns) -> None:
        """Take the step that the forward's K rows lead to, in every row."""
        self._compare(columns)
        self._row["num_steps"] += 1
        self._note_what_was_read()
        self._commit(columns)
        self._last = self._watch, columns
        self._watch = self._watcher.look()

    def catch_up(self, number: int) -> Step | None:
        """Tell a row's job what was done since it was last told, right after a step. Returns that step, as if it had
        been the only one; None of a reading.
        """
        assert self._last is not None
        asked, told = self._last
        job, span = self.rows[number].job, self._arrays.span(number)
        watched = asked.span(number, number + 1)
        prompt = len(job.canvas.prompt)
        positions = asked.positions[watched] - (span.start + prompt)
        prediction = told.prediction(watched, tuple(positions.tolist()))
        if not isinstance(job, Denoising):
            job.accept(prediction)
            return None
        generated = slice(span.start + prompt, span.stop)
        order = self._committed(generated)
        made = Stretch(
            canvas=self._canvas(job.canvas, generated),
            history=self._history(number, job, prediction),
            commits=self._commits(generated, order),
            num_steps=int(self._row["num_steps"][number]) - job.num_steps,
            num_filled=int(self._cells["is_filled"][generated][order].sum()),
            num_windowed=int(self._row["num_windowed"][number]),
        )
        self._cells["committed_in"][generated] = 0
        self._cells["num_changed"][span] = 0
        self._row["num_windowed"][number] = 0
        return job.catch_up(made)

    # one step

    def _compare(self, columns: Columns) -> None:
        """The histories: what changed among the scored positions of the last prediction, and which this one has."""
        row, cells = self._row, self._cells
        positions, row_of, tokens = self._watch.positions, self._watch.row_of, columns.tokens
        number = row["num_steps"][row_of]
        was_scored = cells["scored_in"][positions] == number
        is_changed = was_scored & (tokens != cells["token"][positions])
        if is_changed.any():
            num_scored = np.maximum(row["num_scored"], 1)  # where none was scored, none has changed
            place = self._arrays.starts + num_scored - 1
            cells["num_changed"][place] += self._arrays.count(row_of[is_changed])
        cells["token"][positions] = tokens

        is_scored = self._is_scored(tokens)
        scored = positions[is_scored]
        cells["scored_in"][scored] = number[is_scored] + 1
        cells["top1"][scored] = columns.top1[is_scored]
        row["num_scored"] = self._arrays.count(row_of[is_scored])

    def _is_scored(self, tokens: Ints) -> Bools:
        """[K]: `scored_positions` of the prediction."""
        is_scored: Bools = self._watch.is_scored & ~self._is_end[tokens]
        if not self._has_limits:
            return is_scored
        row_of, first = self._watch.row_of, self._watch.bounds[:-1]
        so_far = is_scored.cumsum()
        before: Ints = so_far[first] - is_scored[first]
        is_within: Bools = so_far - before[row_of] <= self._row["most_scored"][row_of]
        return is_scored & is_within

    def _note_what_was_read(self) -> None:
        if not self._has_windows:
            return
        is_whole = is_read_whole(self._arrays)
        self._row["since_whole"] = np.where(is_whole, 1, self._row["since_whole"] + 1)
        self._row["num_windowed"] += ~is_whole
        self._cells["is_stale"] &= ~is_whole[self._arrays.row_of]

    def _commit(self, columns: Columns) -> None:
        may_commit = self._watch.is_eligible
        if not self._all_decode:
            may_commit = may_commit & self._row["is_decoding"][self._watch.row_of]
        candidates = may_commit.nonzero()[0]
        if len(candidates) == 0:
            return
        chosen = candidates[self._choose(columns, candidates)]
        positions = self._watch.positions[chosen]
        tokens, confidences = columns.proposals[chosen], columns.confidences[chosen]
        self._write(positions, tokens, confidences)
        if self._fills_ends:
            row_of = self._watch.row_of[chosen]
            is_end = (tokens == self._row["eos_id"][row_of]) & self._row["fill_end"][row_of]
            if is_end.any():
                self._fill(positions[is_end], row_of[is_end], confidences[is_end])

    def _choose(self, columns: Columns, candidates: Ints) -> Bools:
        """Which of the candidates, indices in K, their rows' policies commit."""
        row_of = self._watch.row_of[candidates]
        counts = self._arrays.count(row_of)
        place = np.arange(len(row_of)) - (counts.cumsum() - counts)[row_of]
        shape = len(self.rows), int(counts.max())
        confidences = np.full(shape, -np.inf)
        confidences[row_of, place] = columns.confidences[candidates]
        entropies = np.full(shape, np.inf)
        if "entropy_bound" in self._policies:
            entropies[row_of, place] = _entropies_of_proposals(columns)[candidates]
        padded, limits = CandidateRows(confidences, entropies), self._row["limit"]
        if len(self._policies) == 1:
            choice = BATCHED_POLICIES[next(iter(self._policies))](padded, limits)
        else:
            choice = np.empty(shape, dtype=np.bool_)
            for name, rows in self._policies.items():
                choice[rows] = BATCHED_POLICIES[name](padded.of(rows), limits[rows])
        chosen: Bools = choice[row_of, place]
        return chosen

    def _fill(self, ends: Ints, row_of: Ints, confidences: Floats) -> None:
        """`Canvas.fill_end`, behind the leftmost of each row's committed ends."""
        rows, leftmost = np.unique(row_of, return_index=True)
        end = np.full(len(self.rows), len(self._cells))
        confidence = np.zeros(len(self.rows))
        end[rows], confidence[rows] = ends[leftmost], confidences[leftmost]
        masked = self._cells["is_masked"].nonzero()[0]
        row_of = self._arrays.row_of[masked]
        is_behind = (masked > end[row_of]) & (masked < self._watcher.region_stop[row_of])
        filled, row_of = masked[is_behind], row_of[is_behind]
        self._write(filled, self._row["eos_id"][row_of], confidence[row_of])
        self._cells["is_filled"][filled] = True

    def _write(self, positions: Ints, tokens: Ints, confidences: Floats) -> None:
        self._arrays.ids[positions] = tokens
        if self._ids.device.type != "cpu":
            upload = self._model.upload
            self._ids.index_copy_(0, upload(torch.from_numpy(positions)), upload(torch.from_numpy(tokens)))
        cells = self._cells
        cells["is_masked"][positions] = False
        cells["is_stale"][positions] = True
        cells["committed_in"][positions] = self._row["num_steps"][self._arrays.row_of[positions]]
        cells["confidence"][positions] = confidences

    # what a job is told

    def _committed(self, generated: slice) -> Ints:
        """Offsets in the generated part in the order of `Denoising`: by step, and what was filled after the rest."""
        cells = self._cells[generated]
        offsets = cells["committed_in"].nonzero()[0]
        key = 2 * cells["committed_in"][offsets] + cells["is_filled"][offsets]
        in_order: Ints = offsets[key.argsort(kind="stable")]
        return in_order

    def _commits(self, generated: slice, order: Ints) -> tuple[Commit, ...]:
        tokens, confidences = self._arrays.ids[generated][order], self._cells["confidence"][generated][order]
        return tuple(map(Commit, order.tolist(), tokens.tolist(), confidences.tolist()))

    def _canvas(self, canvas: Canvas, generated: slice) -> Canvas:
        return canvas.with_generated(tuple(self._arrays.ids[generated].tolist()), canvas.block_origin)

    def _history(self, number: int, job: Denoising, last: Prediction) -> History:
        cells = self._cells[self._arrays.span(number)]
        num_changed = cells["num_changed"]
        sizes = np.flatnonzero(num_changed)
        shares = map(job.history.scope.weigh, num_changed[sizes].tolist(), (sizes + 1).tolist())
        last_scored = int(cells["scored_in"].max())
        changes = ChangeCount(sum(shares, Fraction(0)), has_evidence=last_scored > job.num_steps)
        before, top1 = job.history, job.history.top1
        if changes.has_evidence:
            of_scored = cells["top1"][cells["scored_in"] == last_scored].tolist()
            top1 = sum(of_scored) / len(of_scored)
        return History(before.scope, before.changes + changes, top1, last)


def _rows_by_policy(jobs: Sequence[Job]) -> dict[PolicyName, Ints]:
    rows: dict[PolicyName, list[int]] = {}
    for number, job in enumerate(jobs):
        rows.setdefault(job.options.policy, []).append(number)
    return {name: np.array(numbers) for name, numbers in rows.items()}


def _entropies_of_proposals(columns: Columns) -> Floats:
    """[K], in nats; infinite where the proposal is held back or is not what the model itself would say."""
    is_own = (columns.proposals == columns.tokens) & (columns.confidences > 0)
    return np.where(is_own, -columns.negative_entropy, np.inf)
