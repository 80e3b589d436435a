"""What `tie eval` ends with: a report's right answers in a few lines."""

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from service.inventory import plain_table
from tie_core.evaluation.intervals import LEAST_P
from tie_core.evaluation.report import Chapter, Report
from tie_core.evaluation.sections import Cell, Grid, Section, Words

OVER_POST: Final = "over post-generation"
COLUMNS: Final = ("", "right, %", OVER_POST, "forwards")
"""Those of a section's first grid that are shown."""
LEGEND: Final = "in brackets 95 % intervals, differences in points; forwards a request, of all members together"
NARROWEST: Final = 24  # characters of the first column


def summary(report: Report) -> Iterator[RenderableType]:
    """Task by task, the tables that have right answers, and which rows of the main one are told apart."""
    for chapter in report.chapters:
        for section, num_items in _measured(chapter):
            if section.grids and COLUMNS[1] in section.grids[0].header:
                yield Text(f"{chapter.experiment.study.task.name}, {section.title}: {num_items:,} items")
                yield _table(section.grids[0])
            if section.name == "main":
                yield Text(LEGEND, "dim")
                yield Text(
                    f"told apart from the post-generation ensemble, p < {LEAST_P}: {_told_apart(section.grids[0])}"
                )


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


def _told_apart(grid: Grid) -> str:
    place = grid.header.index(OVER_POST) + 1
    p_values = {_cell(row[0]).plain: row[place].data() for row in grid.rows}
    return "; ".join(name for name, p in p_values.items() if p is not None and p < LEAST_P) or "no row"


def _cell(cell: Cell) -> Text:
    return Text(cell.said if isinstance(cell, Words) else cell.text())
