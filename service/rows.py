"""A canvas on its way to the screen: its rows, what is looked up for every cell, and the lines that fit."""

from dataclasses import dataclass
from typing import Final

from rich.text import Text

from service.watch import CanvasView, Cell, RegionName

MIN_LINES_MARKED: Final = 3  # of a canvas: where fewer are shown, all of them are text


@dataclass(frozen=True, slots=True)
class Lines:
    """A canvas as lines, and which of them decoding is at: what to keep where there is no room for all."""

    lines: tuple[Text, ...]
    active: int

    def around_active(self, room: int) -> list[Text]:
        if len(self.lines) <= room:
            return list(self.lines)
        start = min(max(self.active - room // 2, 0), len(self.lines) - room)
        shown = list(self.lines[start : start + room])
        if room < MIN_LINES_MARKED:
            return shown
        if start > 0:
            shown[0] = Text("  ⋮ more above", "dim")
        if start + room < len(self.lines):
            shown[-1] = Text("  ⋮ more below", "dim")
        return shown


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a canvas before it is wrapped: a block of the reasoning, or the whole answer."""

    region: RegionName
    positions: range

    def holds(self, active: "Row") -> bool:
        """Whether the active block, which may be none, begins here."""
        return bool(active.positions) and self.region == active.region and active.positions.start in self.positions


@dataclass(frozen=True, slots=True)
class Marks:
    """What is looked up for every cell of a canvas, once a frame."""

    active: Row
    fresh: frozenset[Cell]
    rejected: frozenset[Cell]

    @classmethod
    def of(cls, view: CanvasView) -> "Marks":
        return cls(Row(*view.active_block), frozenset(view.fresh), frozenset(view.rejected))
