"""Batches of half-denoised sheets: the states that training meets.

Recipe: 20 % plain masking; 60 % states as semi-autoregressive decoding meets them; 20 % of the answer phase.
In the last two, 30 % of the committed lines are slips, without which a reader copies whatever is committed
and no score can tell a right trajectory from a wrong one.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tie_core.zoo import ANSWER_LENGTH, BLOCK_SIZE
from tie_core.zoo.encoding import Encoding, Integers, PromptFormat, padded
from tie_core.zoo.skills import FAMILY_OF
from tie_core.zoo.task import MAX_LINES, Line, Sheet, draw_digits

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Value = TypeVar("Value", np.bool_, np.float64)

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
    ids: Tensor  # [B, T] long, padded before short prompts
    targets: Tensor  # [B, G] long, the generated positions
    weights: Tensor  # [B, G] float, 0 where there is nothing to learn


@dataclass(frozen=True, slots=True)
class Phases:
    """How far each sheet's decoding has come. A slot without a line is one of end tokens."""

    is_line: Booleans  # [B, 3] slots
    is_plain: Booleans  # [B, 1]
    is_answer: Booleans  # [B, 1]
    is_committed: Booleans  # [B, 3]
    is_current: Booleans  # [B, 3]
    masked_share: Floats  # [B, 1] of the current slot, or of everything in plain masking


class States:
    """Draws batches of one length, so that a network is compiled once for all of them."""

    def __init__(self, encoding: Encoding, seed: Sequence[int], prompt_length: int) -> None:
        self._encoding = encoding
        self._prompt_length = prompt_length
        self._chance = random.Random(str(seed))
        self._rng = np.random.default_rng(seed)

    def draw(self, sheets: Sequence[Sheet], prompt_format: PromptFormat) -> Batch:
        """One state of each sheet."""
        encoding, rng = self._encoding, self._rng
        phases = draw_phases(rng, np.array([len(sheet.lines) for sheet in sheets]))
        shape = phases.is_line.shape
        is_slip = phases.is_committed & phases.is_line & (rng.random(shape) < SLIP_RATE)
        is_repeated = is_slip & (rng.random(shape) < FOLLOW_RATE)
        generated = np.array(
            [
                encoding.generated_ids(sheet, *self._write(sheet.lines, slips, repeated))
                for sheet, slips, repeated in zip(sheets, is_slip, is_repeated, strict=True)
            ]
        )
        mask = _beside_suffix(*_draw_masks(rng, phases), encoding)
        weights = _beside_suffix(*_weights(phases, encoding), encoding) * mask
        prompts = padded([encoding.prompt_ids(sheet, prompt_format) for sheet in sheets], self._prompt_length)
        ids = np.concatenate((prompts, np.where(mask, encoding.mask_id, generated)), axis=1)
        return Batch(torch.from_numpy(ids), torch.from_numpy(generated), torch.from_numpy(weights).float())

    def _write(self, lines: Iterable[Line], slips: Booleans, repeated: Booleans) -> tuple[list[str], list[str]]:
        """The results that the slots show and those that the answer tells; each builds on the one above it."""
        shown, answered = [""], [""]
        for line, is_slip, is_repeated in zip(lines, slips, repeated, strict=False):
            right = line.result(answered[-1])
            shown.append(self._slip(line, shown[-1]) if is_slip else line.result(shown[-1]))
            answered.append(shown[-1] if is_repeated else right)
        return shown[1:], answered[1:]

    def _slip(self, line: Line, above: str) -> str:
        """A wrong result: another operation's on the same digits, or the right one with some digits random."""
        if self._chance.random() < SLIP_BY_OTHER_OPERATION:
            family = FAMILY_OF[line.name]
            other = self._chance.choice([name for name in family.operations if name != line.name])
            return Line(other, family.operations[other], line.operand).result(above)
        right = line.result(above)
        return "".join(
            draw_digits(self._chance, 1) if self._chance.random() < SLIP_DIGIT_RATE else digit for digit in right
        )


def draw_phases(rng: np.random.Generator, num_lines: Integers) -> Phases:
    batch_size = len(num_lines)
    kind = rng.random((batch_size, 1))
    is_plain, is_answer = kind < PLAIN_SHARE, kind > 1 - ANSWER_PHASE_SHARE
    current = np.where(is_answer, MAX_LINES, rng.integers(0, MAX_LINES, size=(batch_size, 1)))
    slots = np.arange(MAX_LINES)[None]
    return Phases(
        is_line=slots < num_lines[:, None],
        is_plain=is_plain,
        is_answer=is_answer,
        is_committed=(slots < current) & ~is_plain,
        is_current=(slots == current) & ~is_plain,
        masked_share=rng.uniform(SMALLEST_MASKED_SHARE, 1, size=(batch_size, 1)),
    )


def _draw_masks(rng: np.random.Generator, phases: Phases) -> tuple[Booleans, Booleans]:
    """Which slot positions [B, 3, 8] and which answer positions [B, 18] are masked."""
    batch_size = len(phases.is_plain)
    is_drawn = rng.random((batch_size, MAX_LINES, BLOCK_SIZE)) < phases.masked_share[..., None]
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
    slot_weights = np.where(phases.is_line, slot_weights, END_WEIGHT)
    of_phase = np.where(phases.is_answer, ANSWER_PHASE_LINE_WEIGHT, ANSWER_LINE_WEIGHT)
    line_weights = np.where(phases.is_plain, ANSWER_LINE_WEIGHT * per_masked, of_phase)
    num_lines = phases.is_line.sum(1, keepdims=True)
    is_number = np.arange(ANSWER_LENGTH)[None] < num_lines * encoding.line_length
    answer_weights = np.where(is_number, line_weights / encoding.line_length, END_WEIGHT)
    return np.repeat(slot_weights[..., None], BLOCK_SIZE, axis=2), answer_weights


def _beside_suffix(slots: npt.NDArray[Value], answers: npt.NDArray[Value], encoding: Encoding) -> npt.NDArray[Value]:
    """[B, 3, 8] and [B, 18] -> [B, G], with zeros at the suffix."""
    batch_size = len(slots)
    suffix = np.zeros((batch_size, len(encoding.suffix)), dtype=slots.dtype)
    return np.concatenate((slots.reshape(batch_size, -1), suffix, answers), axis=1)
