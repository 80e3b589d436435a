"""Multiple choice: a prompt that asks for a letter, and the letter that an answer names. For several benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass

from tie_core.evaluation.benchmarks.extraction import letter_in
from tie_core.evaluation.benchmarks.files import Record
from tie_core.evaluation.task import Item

LETTERS = "ABCDE"
PROMPT = (
    "Answer this multiple-choice question. First reason briefly. Then give the letter of the right choice, and nothing"
    ' else, after "Answer:".\n\n{question}\n\n{choices}'
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The letter of the right choice, and the texts of all."""

    letter: str
    texts: tuple[str, ...]


def question_of(record: Record, question: str, choices: Sequence[str], right: int) -> tuple[str, Choice]:
    """The prompt of a question, and which of its choices is right. Choices are lettered anew, in their order.

    Raises:
        TaskError: the record has fewer choices than two or more than five.
    """
    if not 2 <= len(choices) <= len(LETTERS):
        raise record.malformed(f"{len(choices)} choices")
    letters = LETTERS[: len(choices)]
    lines = "\n".join(f"{letter}. {choice.strip()}" for letter, choice in zip(letters, choices, strict=True))
    return PROMPT.format(question=question.strip(), choices=lines), Choice(letters[right], tuple(choices))


def grade(item: Item, answer: str) -> bool:
    assert isinstance(item.reference, Choice)
    choices = dict(zip(LETTERS, item.reference.texts, strict=False))
    return letter_in(answer, choices) == item.reference.letter
