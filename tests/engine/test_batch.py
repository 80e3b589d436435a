"""A batch's arrays lead every row where its job alone would go: the same trajectory, field by field, bit for bit."""

import random
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.denoising import Denoising, Job, Step, make_job
from tie_core.engine.backlog import Row
from tie_core.engine.batch import Batch
from tie_core.engine.budget import Load
from tie_core.engine.row_state import state_of
from tie_core.member import Member, Pack
from tie_core.models.key_values import KeyValues
from tie_core.options import TieOptions
from tie_core.prediction import Columns
from tie_core.scoring import ChangeCount, History, Scope
from tie_core.tie import Decode, Probe
from tie_core.unmasking import POLICIES

MASK, END, PAD, NUM_TOKENS = 0, 1, 2, 6
END_IDS = frozenset({END, PAD})
PROBABILITIES = (0.0, 0.2, 0.2, 0.9, 0.9, 1.0)
NEGATIVE_ENTROPIES = (0.0, -0.05, -0.05, -0.7, 1e-9)


def member(logits_are_shifted: bool) -> Member:
    model: Any = SimpleNamespace(
        logits_are_shifted=logits_are_shifted,
        vocab_rows=NUM_TOKENS,
        upload=lambda tensor: tensor,
        key_values=KeyValues(1, 1, 1, torch.float32, torch.device("cpu")),
    )
    vocabulary: Any = SimpleNamespace(end_ids=END_IDS)
    return Member("scripted", model, vocabulary)


def random_options(rng: random.Random, answer: int) -> TieOptions:
    return TieOptions(
        gen_length=None,
        reasoning=8,
        answer=answer,
        policy=rng.choice(sorted(POLICIES)),
        k=rng.randint(1, 3),
        tau=rng.choice([0.2, 0.9, 1.0]),
        factor=rng.choice([0.5, 1.0, 2.0]),
        gamma=rng.choice([0.05, 0.1, 1.4]),
        suppress_end=rng.choice(["off", "confidence", "prediction"]),
        fill_end=rng.random() < 0.5,
        cache=rng.choice(["off", "off", "window"]),
        refresh_interval=rng.choice([1, 2, 5, 30]),
    )


def random_canvas(rng: random.Random) -> Canvas:
    """Perhaps half decoded, as relays leave canvases, and perhaps without an answer region or an end to fill."""
    answer = rng.choice([0, 1, 5, 9])
    suffix = (5,) * rng.randint(0, 2) if answer else ()
    layout = Layout(rng.randint(1, 14), len(suffix), answer, rng.randint(1, 6), MASK, rng.choice([None, END, END]))
    blank = blank_canvas(tuple(rng.randrange(1, NUM_TOKENS) for _ in range(rng.randint(0, 7))), suffix, layout)
    num_written = rng.choice([0, 0, layout.reasoning // 2, layout.reasoning - 1])
    written = set(rng.sample(range(layout.reasoning), num_written))
    generated = tuple(4 if position in written else token for position, token in enumerate(blank.generated))
    return blank.with_generated(generated, rng.choice([0, rng.randrange(layout.length)]))


def guesses(rng: random.Random, count: int) -> Columns:
    """Few distinct values, so that ties and changes are common; no token is the mask."""

    def some(values: Any, kind: Any = np.float64) -> Any:
        return np.array([rng.choice(values) for _ in range(count)], dtype=kind)

    tokens = some(range(1, NUM_TOKENS), np.int64)
    proposals = np.where(some([True, True, False], np.bool_), tokens, some(range(1, NUM_TOKENS), np.int64))
    confidences = some([*PROBABILITIES, rng.random()])
    entropies = some([*NEGATIVE_ENTROPIES, -rng.random()])
    top1, margin = some([rng.random() for _ in range(3)]), some([rng.random()])
    return Columns(tokens, top1, margin, entropies, proposals, confidences, np.ones(count, np.bool_))


def read(job: Job, columns: Columns) -> Any:
    return columns.prediction(slice(None), job.canvas.watched)


def random_work(rng: random.Random) -> tuple[Decode | Probe, TieOptions]:
    canvas = random_canvas(rng)
    options = random_options(rng, canvas.layout.answer)
    if rng.random() < 0.15:
        return Probe(0, canvas), options
    scope = Scope(canvas.layout.scored_region, END_IDS, rng.choice([None, None, 1, 3]), rng.random() < 0.8)
    history = History(scope)
    guess = Denoising(Decode(0, canvas, history, None), options)
    if rng.random() < 0.3:  # its history goes on
        history = replace(
            history.after(read(guess, guesses(rng, len(canvas.watched)))), changes=ChangeCount(Fraction(2, 3), True)
        )
    first = read(guess, guesses(rng, len(canvas.watched))) if rng.random() < 0.3 else None
    num_steps = rng.choice([None, 1, 2, 5, 9])
    return Decode(0, canvas, history, num_steps, rng.random() < 0.5, first), options


@dataclass
class Pair:
    """The same work twice: `alone` on the plain path, and as a row of batches."""

    alone: Job
    row: Row
    steps: list[Step | None] = field(default_factory=list)


def random_pair(rng: random.Random, number: int) -> Pair | None:
    """None where the first prediction leaves nothing to do."""
    work, options = random_work(rng)
    alone, batched = make_job(work, options), make_job(work, options)
    alone.begin()
    batched.begin()
    if alone.is_finished:
        return None
    row = Row(f"{number}", 0, 0, batched, rng.random() < 0.4, Load(), state_of(batched))
    return Pair(alone, row)


def same_pack(one: Pack, other: Pack) -> bool:
    """Of one row each; where it lies in the pool may differ."""
    if one.whole and other.whole:
        tensors = [(one.whole.ids, other.whole.ids), (one.whole.positions, other.whole.positions)]
        rest = one.whole.lengths == other.whole.lengths
    else:
        assert one.windowed
        assert other.windowed
        tensors = [
            (one.windowed.ids, other.windowed.ids),
            (one.windowed.rows, other.windowed.rows),
            (one.windowed.windows[0], other.windowed.windows[0]),
        ]
        rest = len(one.windowed.windows) == len(other.windowed.windows) == 1
    return one.groups == other.groups and rest and all(torch.equal(*pair) for pair in tensors)


def tick(batch: Batch, pairs: dict[int, Pair], plain: Member, rng: random.Random) -> None:
    """One step of every row, on both paths, each row checked."""
    in_order = [pairs[id(row)] for row in batch.rows]
    parts, steps, loads = [], [], Load()
    for number, pair in enumerate(in_order):
        query = pair.alone.query
        assert same_pack(batch.pack(number, number + 1), plain.pack([query]))
        num_read = plain.num_positions(query)
        loads += Load(num_read, num_read * query.length, len(query.watched))
        parts.append(guesses(rng, len(query.watched)))
        steps.append(pair.alone.accept(read(pair.alone, parts[-1])))
    assert batch.load == loads
    batch.step(Columns.joined(parts))
    assert batch.is_finished.tolist() == [pair.alone.is_finished for pair in in_order]
    for number, pair in enumerate(in_order):
        if batch.is_finished[number] or batch.is_told[number]:
            step = batch.catch_up(number)
            assert not pair.row.wants_steps or step == steps[number]


@pytest.mark.parametrize("logits_are_shifted", [False, True])
def test_trajectories_are_those_of_jobs_alone(logits_are_shifted, figure, numbers):
    """Rows join, leave and wait at random."""
    rng = random.Random(20261124 + logits_are_shifted)
    plain, batched = member(logits_are_shifted), member(logits_are_shifted)
    running: dict[int, Pair] = {}
    batch: Batch | None = None
    seen: Counter[str] = Counter()
    for number in range(num_ticks := numbers(1_200, 3_000)):
        if (rng.random() < 0.4 or not running) and (new := random_pair(rng, number)):
            running[id(new.row)] = new
            batch = regrouped(batch, running, batched, rng)
        elif batch is None or rng.random() < 0.1:
            batch = regrouped(batch, running, batched, rng)
        if batch is None:
            continue
        tick(batch, running, plain, rng)
        finished = [row for row, is_finished in zip(batch.rows, batch.is_finished, strict=True) if is_finished]
        for row in finished:
            pair = running.pop(id(row))
            assert row.job.result == pair.alone.result
            seen[type(row.job).__name__] += 1
        if finished:
            batch = regrouped(batch, running, batched, rng)
    assert seen["Denoising"] > num_ticks / 10
    figure(f"batch: {seen['Denoising']} trajectories and {seen['Probing']} readings equal those of the plain path")


def regrouped(batch: Batch | None, running: dict[int, Pair], among: Member, rng: random.Random) -> Batch | None:
    if batch is not None:
        batch.park()
    rows = [pair.row for pair in running.values() if rng.random() < 0.8]
    return Batch(rows, among) if rows else None


class Operations:
    """Counts calls, of Python functions and of built-in ones, while it is entered."""

    def __init__(self) -> None:
        self.num_calls = 0

    def __enter__(self) -> "Operations":
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: object, event: str, argument: object) -> None:
        self.num_calls += event in ("call", "c_call")


def blank_row(options: TieOptions, wants_steps: bool = False) -> Row:
    canvas = blank_canvas((3,) * 20, (5,), Layout(32, 1, 8, 16, MASK, END))
    job = make_job(Decode(0, canvas, History(Scope(canvas.layout.scored_region, END_IDS)), 30), options)
    return Row("", 0, 0, job, wants_steps, Load(), state_of(job))


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("fill_end", [False, True])
def test_a_step_takes_as_many_operations_for_many_rows_as_for_one(policy, fill_end, figure):
    options = TieOptions(gen_length=None, reasoning=32, answer=8, policy=policy, fill_end=fill_end)
    counts = []
    for num_rows in (1, 64):
        batch = Batch([blank_row(options) for _ in range(num_rows)], member(False))
        sizes = np.diff([batch.watched(number, number + 1).start for number in range(num_rows)] + [num_rows * 24])
        one = guesses(random.Random(1), int(sizes[0]))
        columns = Columns.joined([one] * num_rows)
        with Operations() as counted:
            batch.pack(0, num_rows)
            batch.step(columns)
            _ = batch.is_finished, batch.load
        counts.append(counted.num_calls)
    assert counts[0] == counts[1]
    figure(
        f"batch: a step by {policy}{' with fill_end' if fill_end else ''} is {counts[0]} calls for any number of rows"
    )


def test_rows_are_told_nothing_before_they_end_unless_they_ask(monkeypatch):
    made: Counter[str] = Counter()
    for kind, name in ((Canvas, "commit"), (Canvas, "with_generated"), (History, "after"), (Columns, "prediction")):
        monkeypatch.setattr(kind, name, lambda *_, name=name: made.update([name]))
    options = TieOptions(gen_length=None, reasoning=32, answer=8)
    batch = Batch([blank_row(options) for _ in range(5)], member(False))

    for step in range(3):
        batch.step(guesses(random.Random(step), batch.watched(0, 5).stop))

    assert not made
    assert not batch.is_told.any()
    assert Batch([blank_row(options, wants_steps=True)], member(False)).is_told.all()
