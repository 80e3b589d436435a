"""The ids that worksheets are made of, read from a member's tokenizer, so that training needs no text."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from tie_core.zoo import ANSWER_LENGTH, REASONING_LENGTH, SUFFIX
from tie_core.zoo.task import NUM_LINES, OPERATIONS, WORD_LENGTH

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """What stands before and after the text of a prompt: a chat template's parts, or next to nothing."""

    before: Integers
    after: Integers


@dataclass(frozen=True, slots=True)
class Encoding:
    """The ids that worksheets are made of, read from a tokenizer."""

    first_leads: Integers  # [12, _] `rev `
    next_leads: Integers  # [12, _] `; rev `
    slot_leads: Integers  # [12, 2 or 5] ` rev=`
    numbers: Integers  # [10] or [100]
    suffix: Integers
    mask_id: int
    end_id: int

    @property
    def digits_per_token(self) -> int:
        return 1 if len(self.numbers) == 10 else 2

    @property
    def line_length(self) -> int:
        """Tokens of one result."""
        return WORD_LENGTH // self.digits_per_token

    @property
    def num_generated(self) -> int:
        return REASONING_LENGTH + len(self.suffix) + ANSWER_LENGTH

    def number_ids(self, digits: Integers) -> Integers:
        """[..., 6] digits -> [..., line_length] ids."""
        if self.digits_per_token == 1:
            return np.asarray(self.numbers[digits])
        return np.asarray(self.numbers[10 * digits[..., 0::2] + digits[..., 1::2]])

    def prompt_ids(self, operations: Integers, words: Integers, prompt_format: PromptFormat) -> Integers:
        """[B, 3], [B, 3, 6] -> [B, P]."""
        leads = [self.first_leads, *[self.next_leads] * (NUM_LINES - 1)]
        parts = [np.broadcast_to(prompt_format.before, (len(words), len(prompt_format.before)))]
        for line, lead in enumerate(leads):
            parts += [lead[operations[:, line]], self.number_ids(words[:, line])]
        parts.append(np.broadcast_to(prompt_format.after, (len(words), len(prompt_format.after))))
        return np.concatenate(parts, axis=1)

    def generated_ids(self, operations: Integers, shown: Integers, answered: Integers) -> Integers:
        """Slots, suffix and answer: [B, 3], [B, 3, 6], [B, 3, 6] -> [B, G]."""
        slots = np.concatenate((self.slot_leads[operations], self.number_ids(shown)), axis=2)
        suffix = np.broadcast_to(self.suffix, (len(shown), len(self.suffix)))
        answers = self.number_ids(answered).reshape(len(shown), -1)
        num_ends = ANSWER_LENGTH - answers.shape[1]
        answers = np.pad(answers, ((0, 0), (0, num_ends)), constant_values=self.end_id)
        return np.concatenate((slots.reshape(len(shown), -1), suffix, answers), axis=1)


def read_encoding(tokenizer: PreTrainedTokenizerBase, *, digits_per_token: int, mask_token: str) -> Encoding:
    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    numbers = [ids(f"{number:0{digits_per_token}d}")[0] for number in range(10**digits_per_token)]
    return Encoding(
        first_leads=np.array([ids(f"{name} ") for name in OPERATIONS]),
        next_leads=np.array([ids(f"; {name} ") for name in OPERATIONS]),
        slot_leads=np.array([ids(f" {name}=") for name in OPERATIONS]),
        numbers=np.array(numbers),
        suffix=np.array(ids(SUFFIX)),
        mask_id=token_id(tokenizer, mask_token),
        end_id=token_id(tokenizer, "<|endoftext|>"),
    )


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
        before=np.array(tokenizer.encode(before, add_special_tokens=False)),
        after=np.array(tokenizer.encode(after, add_special_tokens=False)),
    )


def raw_format() -> PromptFormat:
    """The bare text, with nothing before it and nothing between it and the reasoning."""
    nothing = np.array([], dtype=np.int64)
    return PromptFormat(before=nothing, after=nothing)
