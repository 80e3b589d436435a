"""What the embedded zoo is asked: sheets of two or three lines, each an operation on digits, in two families.

An item reads `rev 314159; inc 271828; add ------`; its reasoning fills one slot a line (` rev=951413 inc=382939
add=837484`), its answer is the results, one after the other. `tracing.py` and `tables.py` have the families. Knows
no tokenizer and no model.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MIN_LINES: Final = 2
MAX_LINES: Final = 3
WORD_LENGTH: Final = 6
"""Digits of one result."""

TRAIN_SEED: Final = 20_260_615
VALIDATION_SEED: Final = 20_260_616
TEST_SEED: Final = 20_261_128
"""Held out of every choice: no stop, no threshold and no recipe was picked on its items."""

IDENTITY_TABLE: Final = tuple(range(10))


@dataclass(frozen=True, slots=True)
class Operation:
    """Some of an operand's digits, one for each of the result's, and a table on each: `table[operand[sources[i]]]`."""

    sources: tuple[int, ...] = tuple(range(WORD_LENGTH))
    table: tuple[int, ...] = IDENTITY_TABLE

    def __call__(self, operand: str) -> str:
        return "".join(str(self.table[int(operand[source])]) for source in self.sources)


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    operation: Operation
    operand: str | None
    """Digits, or None: the result of the line above."""

    def result(self, above: str) -> str:
        return self.operation(above if self.operand is None else self.operand)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Some lines, and the text that asks for them in pieces: numbers, and what stands between them."""

    pieces: tuple[str, ...]
    lines: tuple[Line, ...]

    def results(self) -> tuple[str, ...]:
        results: list[str] = []
        for line in self.lines:
            results.append(line.result(results[-1] if results else ""))
        return tuple(results)


DrawSheet = Callable[[random.Random, Sequence[str], float], Sheet]
"""A sheet with these operations, and the chance of a later line to work on the result above where that can be."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of question: its operations by name, and how a sheet of it is drawn."""

    name: str
    operations: Mapping[str, Operation]
    draw: DrawSheet


@dataclass(frozen=True, slots=True)
class Item:
    """A sheet as it is asked: the prompt, the reasoning that solves it, the digits of the answer without a space."""

    prompt: str
    reasoning: str
    answer: str
    num_lines: int
    is_chained: bool
    """Whether a line works on the result above."""


def item_of(sheet: Sheet) -> Item:
    results = sheet.results()
    return Item(
        prompt="".join(sheet.pieces),
        reasoning="".join(f" {line.name}={result}" for line, result in zip(sheet.lines, results, strict=True)),
        answer="".join(results),
        num_lines=len(sheet.lines),
        is_chained=any(line.operand is None for line in sheet.lines),
    )


def grade(item: Item, answer_text: str) -> bool:
    """Whether an answer is right: the digits in order, whatever the space around or between them."""
    return "".join(answer_text.split()) == item.answer


def draw_digits(rng: random.Random, num_digits: int) -> str:
    return f"{rng.randrange(10**num_digits):0{num_digits}d}"
