"""Program tracing, the task of the embedded zoo: worksheets of three lines, each an operation on a word.

An item reads `rev 314159; inc 271828; add 141421`; its reasoning fills one slot per line (` rev=951413
inc=382939 add=696976`), its answer is the three results, one after the other. Every operation is a
permutation of the six digits followed by a table on each digit. Knows no tokenizer and no model.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

NUM_LINES: Final = 3
WORD_LENGTH: Final = 6

TRAIN_SEED: Final = 20_260_615
VALIDATION_SEED: Final = 20_260_616
TEST_SEED: Final = 20_261_123
"""Held out of every choice: no stop, no threshold and no recipe was picked on its items."""

IDENTITY_PERMUTATION: Final = tuple(range(WORD_LENGTH))
IDENTITY_TABLE: Final = tuple(range(10))


@dataclass(frozen=True, slots=True)
class Operation:
    """`result[i] = table[word[permutation[i]]]`."""

    permutation: tuple[int, ...] = IDENTITY_PERMUTATION
    table: tuple[int, ...] = IDENTITY_TABLE

    def __call__(self, word: str) -> str:
        return "".join(str(self.table[int(word[source])]) for source in self.permutation)


OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "rev": Operation(permutation=(5, 4, 3, 2, 1, 0)),
        "rtl": Operation(permutation=(1, 2, 3, 4, 5, 0)),
        "swp": Operation(permutation=(1, 0, 3, 2, 5, 4)),
        "inc": Operation(table=tuple((digit + 1) % 10 for digit in range(10))),
        "cmp": Operation(table=tuple(9 - digit for digit in range(10))),
        "dbl": Operation(table=tuple(2 * digit % 10 for digit in range(10))),
        "rtr": Operation(permutation=(5, 0, 1, 2, 3, 4)),
        "hlf": Operation(permutation=(3, 4, 5, 0, 1, 2)),
        "end": Operation(permutation=(5, 1, 2, 3, 4, 0)),
        "dec": Operation(table=tuple((digit - 1) % 10 for digit in range(10))),
        "tri": Operation(table=tuple(3 * digit % 10 for digit in range(10))),
        "add": Operation(table=tuple((digit + 5) % 10 for digit in range(10))),
    }
)
"""Reverse, rotate left, swap neighbours, d+1, 9-d, 2d; rotate right, swap halves, swap ends, d-1, 3d, d+5."""

EXPERT_OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "zoo-llada": ("rev", "rtl", "swp", "inc", "cmp", "dbl"),
        "zoo-dream": ("rtr", "hlf", "end", "dec", "tri", "add"),
    }
)
"""Each member is the expert of six operations, and has seen few lines with the other six."""


@dataclass(frozen=True, slots=True)
class Line:
    operation: str
    word: str

    @property
    def result(self) -> str:
        return OPERATIONS[self.operation](self.word)


@dataclass(frozen=True, slots=True)
class Item:
    """A worksheet: what is asked, the reasoning that solves it, the digits of the answer without a space."""

    prompt: str
    reasoning: str
    answer: str


def item_of(lines: Sequence[Line]) -> Item:
    return Item(
        prompt="; ".join(f"{line.operation} {line.word}" for line in lines),
        reasoning="".join(f" {line.operation}={line.result}" for line in lines),
        answer="".join(line.result for line in lines),
    )


def make_items(seed: int, n: int) -> tuple[Item, ...]:
    """The first `n` items of a seed. Every item has lines of both experts: no member is at home in it."""
    rng = random.Random(seed)
    return tuple(item_of(_draw_lines(rng)) for _ in range(n))


def grade(item: Item, answer_text: str) -> bool:
    """Whether an answer is right: the digits in order, whatever the space around or between them."""
    return "".join(answer_text.split()) == item.answer


def _draw_lines(rng: random.Random) -> tuple[Line, ...]:
    names = tuple(OPERATIONS)
    while True:
        operations = [rng.choice(names) for _ in range(NUM_LINES)]
        if all(not set(operations) <= set(group) for group in EXPERT_OPERATIONS.values()):
            return tuple(Line(operation, f"{rng.randrange(10**WORD_LENGTH):06d}") for operation in operations)
