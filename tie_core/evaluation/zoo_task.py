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
TOKENIZERS: Final = """\
The members have three tokenizers (pairs of digits, single digits, single digits in another order), so that every relay
is transcoded."""
ABOUT_SHEETS: Final = f"""\
A worksheet has two or three lines, each an operation on a word of six digits; the answer is the results one after
another. In a chained sheet a line works on the result of the line above (`------`), so that a mistake spoils the lines
that build on it as well: `hlf 595745; end ------; cmp 052080` gives `745595545597947919`. {TOKENIZERS}"""
ABOUT_TABLES: Final = f"""\
A question has a table of three records and two or three lines, each of which asks for a record or for one field of all
three; the answer is the results one after another. {TOKENIZERS}"""
NOTES: Final = f"""\
- Test items are of the seed {TEST_SEED}, validation items of {VALIDATION_SEED}. No weight, threshold or option
  was chosen on test items.
- The members were trained for this task, with complementary skills, and to doubt an answer that rests on a wrong line.
  Nothing here says what TIE gains with other models: the paper's figures are for LLaDA and Dream on public benchmarks.
- They were trained to be sure of their own operations and unsure of the others, which is what `commit` reads; with
  models that are sure of what is wrong it says less.
- Every part of the answer depends on one line, and each line is one block: the answer's positions react to a line as
  it is written, which is what the other scores read. Tasks where a mistake shows only at the end are not tested.
- The members know different operations by construction, and no item is all of one member's own. Members that are wrong
  in the same places leave a relay nothing to gain.
- One training run of each member: the intervals cover the choice of items, not that of the training seed.
- What was tried and did not help is in `docs/log.md`."""


def _task(name: str, title: str, family: Family, about: str) -> Task:
    def items(seed: int, split: str) -> tuple[Item, ...]:
        sheets = make_items(seed, NUM_ITEMS, family)
        return tuple(
            Item(f"{split}/{number}", sheet.prompt, sheet, _group(sheet)) for number, sheet in enumerate(sheets)
        )

    def load(_: Path) -> tuple[Item, ...]:
        return items(TEST_SEED, name)

    def load_validation(_: Path) -> tuple[Item, ...]:
        return items(VALIDATION_SEED, f"{name}/validation")

    return Task(name, title, {}, load, grade, load_validation=load_validation, about=about, notes=NOTES)


def grade(item: Item, answer: str) -> bool:
    assert isinstance(item.reference, Sheet)
    return grade_sheet(item.reference, answer)


def _group(sheet: Sheet) -> str:
    return f"{sheet.num_lines} lines" + (", chained" if sheet.is_chained else "")


TRACING_TASK: Final = _task("zoo", "The zoo's worksheets", TRACING, ABOUT_SHEETS)
TABLES_TASK: Final = _task("zoo-tables", "The zoo's questions on tables", TABLES, ABOUT_TABLES)
TASKS: Final = (TRACING_TASK, TABLES_TASK)
