"""A section of a report: text and grids of figures, as Markdown for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from tie_core.evaluation.intervals import Interval, Paired, Tested, clustered, paired, unpaired, wilson
from tie_core.evaluation.tables import NOTHING, figure, p_value, percent_with_interval, points_with_interval, table

Right = Sequence[bool]  # item by item


def in_a_cell(words: str) -> str:
    """Words in a cell of Markdown."""
    return words.replace("|", r"\|")


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, in percent with Wilson's interval."""

    num: int
    of: int

    @classmethod
    def of_right(cls, right: Right) -> "Share":
        return cls(sum(right), len(right))

    @property
    def value(self) -> float:
        return self.num / self.of

    def text(self) -> str:
        return percent_with_interval(self.value, wilson(self.num, self.of)) if self.of else NOTHING

    def data(self) -> Any:
        return asdict(self) | ({"share": self.value, "interval": asdict(wilson(self.num, self.of))} if self.of else {})


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of rounds, given by run as so many of so many, in percent with an interval that knows that a run's rounds
    are alike."""

    by_run: tuple[tuple[int, int], ...]

    @property
    def num(self) -> int:
        return sum(num for num, _ in self.by_run)

    @property
    def of(self) -> int:
        return sum(of for _, of in self.by_run)

    def text(self) -> str:
        return percent_with_interval(self.num / self.of, clustered(self.by_run)) if self.of else NOTHING

    def data(self) -> Any:
        told = {"num": self.num, "of": self.of}
        return told | ({"share": self.num / self.of, "interval": asdict(clustered(self.by_run))} if self.of else {})


@dataclass(frozen=True, slots=True)
class Points:
    """A paired difference in points; None where nothing is compared."""

    paired: Paired | None

    def text(self) -> str:
        return points_with_interval(self.paired)

    def data(self) -> Any:
        return self.paired and asdict(self.paired)


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two means of independent samples, with its interval; None where a sample has fewer than two, and the interval
    also where neither sample varies."""

    value: float | None
    interval: Interval | None

    @classmethod
    def of(cls, first: Sequence[float], second: Sequence[float]) -> "Difference":
        if min(len(first), len(second)) < 2:
            return cls(None, None)
        return cls(fmean(first) - fmean(second), unpaired(first, second))

    def text(self) -> str:
        if self.value is None:
            return NOTHING
        if self.interval is None:
            return f"{self.value:+.3f}"
        return f"{self.value:+.3f} [{self.interval.low:+.3f}, {self.interval.high:+.3f}]"

    def data(self) -> Any:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class P:
    """Of the test of a difference."""

    tested: Tested | None

    def text(self) -> str:
        return p_value(self.tested)

    def data(self) -> Any:
        return self.tested and self.tested.p_value


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with so many digits; None: there is none."""

    value: float | None
    digits: int = 1
    is_signed: bool = False

    def text(self) -> str:
        return (
            f"{self.value:+.{self.digits}f}"
            if self.is_signed and self.value is not None
            else figure(self.value, self.digits)
        )

    def data(self) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Words:
    said: str

    def text(self) -> str:
        return in_a_cell(self.said)

    def data(self) -> Any:
        return self.said


Cell = Share | Rate | Points | Difference | P | Figure | Words


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. The first cell of a row names it."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> str:
        return table(list(map(in_a_cell, self.header)), ([cell.text() for cell in row] for row in self.rows))

    def data(self) -> Any:
        return {"columns": list(self.header), "rows": [[cell.data() for cell in row] for row in self.rows]}


@dataclass(frozen=True, slots=True)
class Section:
    """One named table of a report: what it shows, its grids, and sentences computed from them."""

    name: str
    title: str
    note: str
    grids: tuple[Grid, ...]
    sentences: tuple[str, ...] = ()

    def markdown(self, num_items: int, num_in_main: int | None = None) -> str:
        """`num_in_main` is the number of the main table's items, whose first ones these are."""
        of = f", the first of the main table's {num_in_main:,}" if num_items < (num_in_main or 0) else ""
        parts = [
            f"### {self.title}\n",
            f"{num_items:,} items{of}. {self.note}\n",
            *(grid.markdown() for grid in self.grids),
        ]
        parts += ["".join(f"- {sentence}\n" for sentence in self.sentences)] if self.sentences else []
        return "\n".join(parts)

    def data(self) -> Any:
        return {
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "tables": [grid.data() for grid in self.grids],
            "sentences": list(self.sentences),
        }


def compared(first: Right, second: Right) -> Paired | None:
    """None with answers that are right on the very same items, or with fewer than two items."""
    return None if list(first) == list(second) or len(first) < 2 else paired(first, second)


def standing(first: Right, second: Right, name: str) -> str:
    """Of `first` beside `second`, which has this name."""
    found = compared(first, second)
    if found is None:
        return f"right on the same items as {name}"
    words = "not told apart from"
    if found.is_told_apart:
        words = "better than" if found.difference > 0 else "**worse** than"
    return f"{words} {name} ({points_with_interval(found)} points, p {p_value(found)})"


EFFECT_HEADER = ("effect", "here, points", "p", "paper, points", "sign")


def effect(what: str, first: Right, second: Right, paper: float | None) -> tuple[Cell, ...]:
    """A row of `EFFECT_HEADER`: what `first` gains over `second`, what the paper has, and whether the signs agree."""
    here = compared(first, second)
    return (Words(what), Points(here), P(here), Figure(paper, 2, is_signed=True), Words(sign(here, paper)))


def sign(here: Paired | None, paper: float | None) -> str:
    if paper is None:
        return NOTHING
    if here is None:
        return "the same items"
    if not here.is_told_apart:
        return "not told apart from 0"
    return "the same" if (here.difference > 0) == (paper > 0) else "the opposite"
