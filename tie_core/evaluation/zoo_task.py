"""The embedded zoo's two families as tasks that an ensemble is measured on: sheets made from seeds, not read."""

from pathlib import Path
from typing import Final

from tie_core.evaluation.task import Item, Task
from tie_core.zoo.items import make_items
from tie_core.zoo.tables import TABLES
from tie_core.zoo.task import TEST_SEED, VALIDATION_SEED, Family
from tie_core.zoo.task import Item as Sheet
from tie_core.zoo.task import grade as grade_sheet
from tie_core.zoo.tracing import TRACING

NUM_ITEMS: Final = 2_000
NOTES: Final = f"""\
- Test items are sheets of the seed {TEST_SEED}, validation items of {VALIDATION_SEED}. No weight, threshold or option
  was chosen on test items.
- The members were trained for this task, with complementary skills, and to doubt an answer that rests on a wrong line.
  Nothing here says what TIE gains with other models: the paper's figures are for LLaDA and Dream on public benchmarks.
- Every part of the answer depends on one line, and each line is one block: the answer's positions react to a line as
  it is written, which is what the scores read. Tasks in which a mistake shows only later give them less to go by: of
  the chained sheets, a mistake in a line shows in those that work on it as well.
- The members know different operations by construction, and no sheet is all of one member's own. Members that are wrong
  in the same places leave a relay nothing to gain.
- One training run of each member: the intervals cover the choice of items, not that of the training seed.
- What was tried and did not help is in `docs/log.md`."""


def _task(name: str, title: str, family: Family) -> Task:
    def items(seed: int, split: str) -> tuple[Item, ...]:
        sheets = make_items(seed, NUM_ITEMS, family)
        return tuple(
            Item(f"{split}/{number}", sheet.prompt, sheet, _group(sheet)) for number, sheet in enumerate(sheets)
        )

    def load(_: Path) -> tuple[Item, ...]:
        return items(TEST_SEED, name)

    def load_validation(_: Path) -> tuple[Item, ...]:
        return items(VALIDATION_SEED, f"{name}/validation")

    return Task(name, title, {}, load, grade, load_validation=load_validation, notes=NOTES)


def grade(item: Item, answer: str) -> bool:
    assert isinstance(item.reference, Sheet)
    return grade_sheet(item.reference, answer)


def _group(sheet: Sheet) -> str:
    return f"{sheet.num_lines} lines" + (", chained" if sheet.is_chained else "")


TRACING_TASK: Final = _task("zoo", "The zoo's worksheets", TRACING)
TABLES_TASK: Final = _task("zoo-tables", "The zoo's questions on tables", TABLES)
TASKS: Final = (TRACING_TASK, TABLES_TASK)
