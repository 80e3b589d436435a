"""The zoo's first family, program tracing: each line permutes the digits of a word or looks each up in a table.

`rev 314159; inc 271828; add ------`: dashes stand for the result of the line above. They are as long as a word in
every tokenizer, so that lines and slots keep their distances; with a short word in their place a network had not
found the lines after ten times as many steps.
"""

import random
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from tie_core.zoo.task import WORD_LENGTH, Family, Line, Operation, Sheet, draw_digits

ABOVE: Final = "-" * WORD_LENGTH

OPERATIONS: Final = MappingProxyType(
    {
        "rev": Operation(sources=(5, 4, 3, 2, 1, 0)),
        "rtl": Operation(sources=(1, 2, 3, 4, 5, 0)),
        "swp": Operation(sources=(1, 0, 3, 2, 5, 4)),
        "inc": Operation(table=tuple((digit + 1) % 10 for digit in range(10))),
        "cmp": Operation(table=tuple(9 - digit for digit in range(10))),
        "dbl": Operation(table=tuple(2 * digit % 10 for digit in range(10))),
        "rtr": Operation(sources=(5, 0, 1, 2, 3, 4)),
        "hlf": Operation(sources=(3, 4, 5, 0, 1, 2)),
        "end": Operation(sources=(5, 1, 2, 3, 4, 0)),
        "dec": Operation(table=tuple((digit - 1) % 10 for digit in range(10))),
        "tri": Operation(table=tuple(3 * digit % 10 for digit in range(10))),
        "add": Operation(table=tuple((digit + 5) % 10 for digit in range(10))),
    }
)
"""Reverse, rotate left, swap neighbours, d+1, 9-d, 2d; rotate right, swap halves, swap ends, d-1, 3d, d+5."""


def draw_sheet(rng: random.Random, names: Sequence[str], chained_share: float) -> Sheet:
    lines: list[Line] = []
    pieces: list[str] = []
    for name in names:
        is_chained = bool(lines) and rng.random() < chained_share
        line = Line(name, OPERATIONS[name], None if is_chained else draw_digits(rng, WORD_LENGTH))
        pieces += [f"; {name} " if lines else f"{name} ", line.operand or ABOVE]
        lines.append(line)
    return Sheet(tuple(pieces), tuple(lines))


TRACING: Final = Family("tracing", OPERATIONS, draw_sheet)
