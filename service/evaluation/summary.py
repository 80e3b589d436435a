"""What `tie eval` ends with: a report's right answers in a few lines."""

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from service.inventory import plain_table
from tie_core.evaluation.report import Chapter, Report

COLUMNS: Final = ("", "right, %", "over post-generation", "forwards")
"""Of the main table's first grid."""


def summary(report: Report) -> Iterator[RenderableType]:
    """Task by task."""
    for chapter in report.chapters:
        yield Text(f"{chapter.experiment.study.task.name}: {_measured(chapter)}")
        yield from _answers(chapter)


def _measured(chapter: Chapter) -> str:
    return ", ".join(f"{section.title} ({chapter.sizes[section.name]:,} items)" for section in chapter.sections)


def _answers(chapter: Chapter) -> Iterator[Table]:
    for section in chapter.sections:
        if section.name != "main":
            continue
        grid = section.grids[0]
        table = plain_table(*COLUMNS)
        for column in table.columns[1:]:
            column.justify, column.no_wrap = "right", True
        places = [grid.header.index(name) for name in COLUMNS]
        for row in grid.rows:
            table.add_row(*(Text(row[place].text()) for place in places))
        yield table
