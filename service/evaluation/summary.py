"""What `tie eval` ends with: a report's right answers in a few lines."""

from collections.abc import Iterator
from itertools import count
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from service.inventory import plain_table
from tie_core.evaluation.conditions import POST
from tie_core.evaluation.intervals import LEAST_P, mcnemar
from tie_core.evaluation.report import Chapter, Report
from tie_core.evaluation.results import Results
from tie_core.evaluation.sections import Cell, Grid, Section, Words, compared

COLUMNS: Final = ("", "right, %", "over post-generation", "forwards")
"""Those of a section's first grid that are shown."""
LEGEND: Final = "in brackets 95 % intervals, differences in points; forwards a request, of all members together"
NARROWEST: Final = 24  # characters of the first column
TEST: Final = f"McNemar's exact p < {LEAST_P} (the brackets are too narrow where few items differ)"
LEAST_DIFFERING: Final = next(num for num in count() if mcnemar(num, 0) < LEAST_P)
"""Fewer items that differ are never told apart, even if all of them speak for the same side."""
MANY: Final = 20 * LEAST_DIFFERING
"""Items of which these are 5 points, the size of the gains that are looked for."""


def summary(report: Report) -> Iterator[RenderableType]:
    """Task by task, the tables that have right answers, and where TIE stands beside the post-generation ensemble."""
    has_tables = False
    for chapter in report.chapters:
        for section, num_items in _measured(chapter):
            if section.grids and COLUMNS[1] in section.grids[0].header:
                has_tables = True
                yield Text(f"{chapter.experiment.study.task.name}, {section.title}: {num_items:,} items")
                yield _table(section.grids[0])
            if section.name == "main":
                yield from map(Text, _beside_post(chapter.experiment.results(num_items)))
    if has_tables:
        yield Text(LEGEND, "dim")


def _measured(chapter: Chapter) -> Iterator[tuple[Section, int]]:
    for section in chapter.sections:
        yield section, chapter.sizes[section.name]
    if chapter.learned is not None:
        yield chapter.learned.section(), chapter.learned.num_items
    if chapter.choice is not None:
        yield chapter.choice.section, chapter.choice.num_items


def _table(grid: Grid) -> Table:
    shown = [name for name in COLUMNS if name in grid.header]
    table = plain_table(*shown)
    label, *figures = table.columns
    label.overflow, label.min_width = "fold", NARROWEST
    for column in figures:
        column.justify, column.no_wrap = "right", True
    places = [grid.header.index(name) for name in shown]
    for row in grid.rows:
        table.add_row(*(_cell(row[place]) for place in places))
    return table


def _beside_post(results: Results) -> Iterator[str]:
    """Which of TIE's rows are better and which are worse, and what so many items can tell at all."""
    if not results.study.relayed:
        return
    rows: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
    for condition in results.study.relayed:
        found = compared(results.right(condition), results.right(POST))
        direction = "not told apart"
        if found is not None and found.is_told_apart:
            direction = "better" if found.difference > 0 else "worse"
        rows[direction].append(results.study.label_of(condition))
    yield f"beside the {POST.label}, by {TEST}:"
    for direction, labels in rows.items():
        yield f"  {direction}: {'; '.join(labels) or 'none'}"
    if (num := len(results.items)) < MANY:
        least = f"difference below {100 * LEAST_DIFFERING / num:.0f} points" if num >= LEAST_DIFFERING else "difference"
        yield f"  few items: among {num} no {least} can be told apart"


def _cell(cell: Cell) -> Text:
    return Text(cell.said if isinstance(cell, Words) else cell.text())
