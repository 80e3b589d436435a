"""The zoo's second family, questions on a table of three records with three fields of two digits each.

`314159 271828 141421; fst; top; med`: a record (first, middle, last), or one field of all three (the top, the medium,
the low two digits).
"""

import random
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from tie_core.zoo.task import WORD_LENGTH, Family, Line, Operation, Sheet, draw_digits

NUM_RECORDS: Final = 3
FIELD_LENGTH: Final = 2


def _record(number: int) -> Operation:
    return Operation(sources=tuple(range(number * WORD_LENGTH, (number + 1) * WORD_LENGTH)))


def _field(number: int) -> Operation:
    starts = [record * WORD_LENGTH + number * FIELD_LENGTH for record in range(NUM_RECORDS)]
    return Operation(sources=tuple(start + digit for start in starts for digit in range(FIELD_LENGTH)))


OPERATIONS: Final = MappingProxyType(
    {
        "fst": _record(0),
        "mid": _record(1),
        "lst": _record(2),
        "top": _field(0),
        "med": _field(1),
        "low": _field(2),
    }
)


def draw_sheet(rng: random.Random, names: Sequence[str], _: float) -> Sheet:
    records = [draw_digits(rng, WORD_LENGTH) for _ in range(NUM_RECORDS)]
    table = "".join(records)
    pieces = [piece for record in records for piece in (record, " ")][:-1]
    return Sheet(
        (*pieces, *[f"; {name}" for name in names]), tuple(Line(name, OPERATIONS[name], table) for name in names)
    )


TABLES: Final = Family("tables", OPERATIONS, draw_sheet)
