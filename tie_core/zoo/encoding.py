"""The ids that sheets are made of, by a member's own tokenizer."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from tie_core.zoo import ANSWER_LENGTH, BLOCK_SIZE, REASONING_LENGTH, SUFFIX
from tie_core.zoo.task import WORD_LENGTH, Sheet

Integers = npt.NDArray[np.int64]

PADDING: Final = -1
"""Stands before a prompt that is shorter than others of its batch: no id of any token."""


class PromptFormat:
    """What stands before and after the text of a prompt: a chat template's parts, or nothing."""

    def __init__(self, before: Sequence[int] = (), after: Sequence[int] = ()) -> None:
        self.before, self.after = tuple(before), tuple(after)


class Encoding:
    """A tokenizer on the texts of the task, which it splits where their pieces meet."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, digits_per_token: int, mask_token: str) -> None:
        self._tokenizer = tokenizer
        self._digits_per_token = digits_per_token
        self._ids_of = lru_cache(maxsize=None)(self._encode)
        self.suffix = self._ids_of(SUFFIX)
        self.mask_id = token_id(tokenizer, mask_token)
        self.end_id = token_id(tokenizer, "<|endoftext|>")

    @property
    def line_length(self) -> int:
        """Tokens of one result."""
        return WORD_LENGTH // self._digits_per_token

    @property
    def num_generated(self) -> int:
        return REASONING_LENGTH + len(self.suffix) + ANSWER_LENGTH

    def prompt_ids(self, sheet: Sheet, prompt_format: PromptFormat) -> list[int]:
        ids = [*prompt_format.before]
        for piece in sheet.pieces:
            ids += self._number_ids(piece) if piece.isdigit() else self._ids_of(piece)
        return [*ids, *prompt_format.after]

    def generated_ids(self, sheet: Sheet, shown: Sequence[str], answered: Sequence[str]) -> list[int]:
        """Slots with the results `shown`, the suffix, an answer of those `answered`; end tokens fill up: [G]."""
        slots: list[int] = []
        for line, result in zip(sheet.lines, shown, strict=True):
            slots += [*self._ids_of(f" {line.name}="), *self._number_ids(result)]
        answer = [token for result in answered for token in self._number_ids(result)]
        return [*self._filled(slots, REASONING_LENGTH), *self.suffix, *self._filled(answer, ANSWER_LENGTH)]

    def number_start(self, place: int) -> int:
        """Where in the generated part the result of line `place` begins."""
        return (place + 1) * BLOCK_SIZE - self.line_length

    def _filled(self, ids: list[int], length: int) -> list[int]:
        return ids + [self.end_id] * (length - len(ids))

    def _number_ids(self, digits: str) -> list[int]:
        size = self._digits_per_token
        return [self._ids_of(digits[start : start + size])[0] for start in range(0, len(digits), size)]

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))


def padded(rows: Sequence[Sequence[int]], length: int) -> Integers:
    """Rows with padding before them: [B, length]."""
    return np.array([[PADDING] * (length - len(row)) + list(row) for row in rows], dtype=np.int64)


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    index = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(index, int), f"{token} is not one token"
    return index


def chat_format(tokenizer: PreTrainedTokenizerBase) -> PromptFormat:
    marker = "\x00"
    message = [{"role": "user", "content": marker}]
    text = str(tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False))
    before, after = text.split(marker)
    return PromptFormat(
        tokenizer.encode(before, add_special_tokens=False), tokenizer.encode(after, add_special_tokens=False)
    )


def raw_format() -> PromptFormat:
    """The bare text, with nothing before it and nothing between it and the reasoning."""
    return PromptFormat()
