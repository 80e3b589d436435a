"""Batches of half-denoised worksheets: the states that training meets.

Recipe: 20 % plain masking; 60 % states as semi-autoregressive decoding meets them; 20 % of the answer phase.
In the last two, 30 % of the committed lines are slips, without which a reader copies whatever is committed
and no score can tell a right trajectory from a wrong one.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tie_core.zoo import ANSWER_LENGTH, BLOCK_SIZE
from tie_core.zoo.encoding import Encoding, Integers, PromptFormat
from tie_core.zoo.task import NUM_LINES, OPERATIONS, WORD_LENGTH

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Value = TypeVar("Value", np.bool_, np.float64)

PERMUTATIONS: Final = np.array([operation.permutation for operation in OPERATIONS.values()])  # [12, 6]
TABLES: Final = np.array([operation.table for operation in OPERATIONS.values()])  # [12, 10]

PLAIN_SHARE: Final = 0.2
ANSWER_PHASE_SHARE: Final = 0.2
SLIP_RATE: Final = 0.3
SLIP_BY_OTHER_OPERATION: Final = 0.6
"""Share of slips that are another operation's result; the others have a quarter of their digits random."""
SLIP_DIGIT_RATE: Final = 0.25
FOLLOW_RATE: Final = 0.7
"""How often the answer's target repeats a slip. At 0.5 the answer phase "corrects" right lines."""
LATER_LINE_WEIGHT: Final = 0.3
ANSWER_LINE_WEIGHT: Final = 0.5
ANSWER_PHASE_LINE_WEIGHT: Final = 1.0
END_WEIGHT: Final = 0.02
SMALLEST_MASKED_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    ids: Tensor  # [B, T] long
    targets: Tensor  # [B, G] long, the generated positions
    weights: Tensor  # [B, G] float, 0 where there is nothing to learn


@dataclass(frozen=True, slots=True)
class Worksheets:
    operations: Integers  # [B, 3]
    words: Integers  # [B, 3, 6]
    results: Integers  # [B, 3, 6]


@dataclass(frozen=True, slots=True)
class Phases:
    """How far each worksheet's decoding has come."""

    is_plain: Booleans  # [B, 1]
    is_answer: Booleans  # [B, 1]
    is_committed: Booleans  # [B, 3] lines
    is_current: Booleans  # [B, 3]
    masked_share: Floats  # [B, 1] of the current line, or of everything in plain masking


def results_of(operations: Integers, words: Integers) -> Integers:
    """[...], [..., 6] -> [..., 6]: `result[i] = table[word[permutation[i]]]`."""
    sources = np.take_along_axis(words, PERMUTATIONS[operations], axis=-1)
    return np.asarray(TABLES[operations[..., None], sources])


def draw_worksheets(rng: np.random.Generator, shares: Floats, batch_size: int) -> Worksheets:
    """Lines whose operations are drawn by `shares` ([12], adding up to 1)."""
    operations = rng.choice(len(OPERATIONS), size=(batch_size, NUM_LINES), p=shares)
    words = rng.integers(0, 10, size=(batch_size, NUM_LINES, WORD_LENGTH))
    return Worksheets(operations, words, results_of(operations, words))


def draw_batch(
    rng: np.random.Generator, encoding: Encoding, prompt_format: PromptFormat, shares: Floats, batch_size: int
) -> Batch:
    worksheets = draw_worksheets(rng, shares, batch_size)
    phases = _draw_phases(rng, batch_size)
    is_slip = phases.is_committed & (rng.random((batch_size, NUM_LINES)) < SLIP_RATE)
    is_repeated = is_slip & (rng.random((batch_size, NUM_LINES)) < FOLLOW_RATE)
    slips = _draw_slips(rng, worksheets)
    shown = np.where(is_slip[..., None], slips, worksheets.results)
    answered = np.where(is_repeated[..., None], slips, worksheets.results)
    slot_mask, answer_mask = _draw_masks(rng, phases)
    slot_weights, answer_weights = _weights(phases, encoding)

    generated = encoding.generated_ids(worksheets.operations, shown, answered)
    mask = _beside_suffix(slot_mask, answer_mask, encoding)
    weights = _beside_suffix(slot_weights, answer_weights, encoding) * mask
    prompts = encoding.prompt_ids(worksheets.operations, worksheets.words, prompt_format)
    ids = np.concatenate((prompts, np.where(mask, encoding.mask_id, generated)), axis=1)
    return Batch(torch.from_numpy(ids), torch.from_numpy(generated), torch.from_numpy(weights).float())


def _draw_phases(rng: np.random.Generator, batch_size: int) -> Phases:
    kind = rng.random((batch_size, 1))
    is_plain, is_answer = kind < PLAIN_SHARE, kind > 1 - ANSWER_PHASE_SHARE
    current = np.where(is_answer, NUM_LINES, rng.integers(0, NUM_LINES, size=(batch_size, 1)))
    lines = np.arange(NUM_LINES)[None]
    return Phases(
        is_plain=is_plain,
        is_answer=is_answer,
        is_committed=(lines < current) & ~is_plain,
        is_current=(lines == current) & ~is_plain,
        masked_share=rng.uniform(SMALLEST_MASKED_SHARE, 1, size=(batch_size, 1)),
    )


def _draw_slips(rng: np.random.Generator, worksheets: Worksheets) -> Integers:
    """A wrong result for every line: another operation's, or the right one with some digits random."""
    shape = worksheets.operations.shape
    others = (worksheets.operations + rng.integers(1, len(OPERATIONS), size=shape)) % len(OPERATIONS)
    by_other = results_of(others, worksheets.words)
    digits = rng.integers(0, 10, size=worksheets.results.shape)
    is_random = rng.random(worksheets.results.shape) < SLIP_DIGIT_RATE
    by_chance = np.where(is_random, digits, worksheets.results)
    return np.where((rng.random(shape) < SLIP_BY_OTHER_OPERATION)[..., None], by_other, by_chance)


def _draw_masks(rng: np.random.Generator, phases: Phases) -> tuple[Booleans, Booleans]:
    """Which slot positions [B, 3, 8] and which answer positions [B, 18] are masked."""
    batch_size = len(phases.is_plain)
    is_drawn = rng.random((batch_size, NUM_LINES, BLOCK_SIZE)) < phases.masked_share[..., None]
    may_be_masked = phases.is_plain | phases.is_current
    is_later = ~(phases.is_plain | phases.is_committed | phases.is_current)
    slot_mask = (is_drawn & may_be_masked[..., None]) | is_later[..., None]

    positions = np.arange(ANSWER_LENGTH)[None]
    is_drawn_answer = rng.random((batch_size, ANSWER_LENGTH)) < phases.masked_share
    block_start = rng.integers(0, ANSWER_LENGTH, size=(batch_size, 1))
    is_in_suffix = (positions >= block_start + BLOCK_SIZE) | ((positions >= block_start) & is_drawn_answer)
    answer_mask = np.where(phases.is_plain, is_drawn_answer, is_in_suffix | ~phases.is_answer)
    return slot_mask, answer_mask


def _weights(phases: Phases, encoding: Encoding) -> tuple[Floats, Floats]:
    """A line weighs about the same whatever its tokenizer: [B, 3, 8] and [B, 18]."""
    per_masked = 1 / phases.masked_share
    slot_weights = np.where(phases.is_plain | phases.is_current, per_masked, LATER_LINE_WEIGHT) / BLOCK_SIZE
    of_phase = np.where(phases.is_answer, ANSWER_PHASE_LINE_WEIGHT, ANSWER_LINE_WEIGHT)
    line_weights = np.where(phases.is_plain, ANSWER_LINE_WEIGHT * per_masked, of_phase)
    is_number = np.arange(ANSWER_LENGTH)[None] < NUM_LINES * encoding.line_length
    answer_weights = np.where(is_number, line_weights / encoding.line_length, END_WEIGHT)
    return np.repeat(slot_weights[..., None], BLOCK_SIZE, axis=2), answer_weights


def _beside_suffix(slots: npt.NDArray[Value], answers: npt.NDArray[Value], encoding: Encoding) -> npt.NDArray[Value]:
    """[B, 3, 8] and [B, 18] -> [B, G], with zeros at the suffix."""
    batch_size = len(slots)
    suffix = np.zeros((batch_size, len(encoding.suffix)), dtype=slots.dtype)
    return np.concatenate((slots.reshape(batch_size, -1), suffix, answers), axis=1)
