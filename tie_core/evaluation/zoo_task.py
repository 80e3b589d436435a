"""The embedded zoo's task as one that an ensemble is measured on: worksheets that are made from its seeds, not read."""

from pathlib import Path
from typing import Final

from tie_core.evaluation.task import Item, Task
from tie_core.zoo.task import TEST_SEED, VALIDATION_SEED, make_items
from tie_core.zoo.task import Item as Worksheet
from tie_core.zoo.task import grade as grade_worksheet

NUM_ITEMS: Final = 2_000
NOTES: Final = """\
- Test items are worksheets of the seed {test}, validation items of {validation}. No weight, threshold or option was
  chosen on test items.
- The members were trained for this task, with complementary skills, and to doubt an answer that rests on a wrong line.
  Nothing here says what TIE gains with other models: the paper's figures are for LLaDA and Dream on public benchmarks.
- Every part of the answer depends on one line, and each line is one block: the answer's positions react to a line as
  it is written, which is what the scores read. Tasks in which a mistake shows only later give them less to go by.
- The members know different operations by construction, and every worksheet mixes them. Members that are wrong in
  the same places leave a relay nothing to gain.
- One training run of each member: the intervals cover the choice of items, not that of the training seed.
- What was tried and did not help is in `docs/log.md`."""


def load(_: Path) -> tuple[Item, ...]:
    return _items(TEST_SEED, "zoo")


def load_validation(_: Path) -> tuple[Item, ...]:
    return _items(VALIDATION_SEED, "zoo/validation")


def grade(item: Item, answer: str) -> bool:
    assert isinstance(item.reference, Worksheet)
    return grade_worksheet(item.reference, answer)


def _items(seed: int, name: str) -> tuple[Item, ...]:
    return tuple(
        Item(f"{name}/{number}", sheet.prompt, sheet) for number, sheet in enumerate(make_items(seed, NUM_ITEMS))
    )


TASK = Task(
    "zoo",
    "The zoo's worksheets",
    {},
    load,
    grade,
    load_validation=load_validation,
    notes=NOTES.format(test=TEST_SEED, validation=VALIDATION_SEED),
)
