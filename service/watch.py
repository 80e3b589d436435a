"""What a person who watches a request sees: canvases, relays and rounds, folded from its events.

Runs no model and draws nothing. Knows text and positions only: a server's events do as well as the library's.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from tie_core.events import AnswerProbe, CanvasInfo, Completed, Created, Event, Failed, RelayInfo, RoundEnded, StepTaken

RegionName = Literal["reasoning", "answer"]
REGIONS: tuple[RegionName, ...] = ("reasoning", "answer")
HALF_CHARACTER: Final = "\N{REPLACEMENT CHARACTER}"
"""What a token is told as that holds a part of a character."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A committed token and the member that wrote its text (empty: nobody knows). Equal to itself alone.

    A relay keeps the writer.
    """

    text: str
    confidence: float | None
    writer: str


class Region:
    """The cells of the reasoning or of the answer (None where masked), and where blocks are counted from."""

    def __init__(self, length: int, block_size: int) -> None:
        self.cells: list[Cell | None] = [None] * length
        self.block_size = block_size
        self.origin = 0

    def copy(self) -> "Region":
        twin = Region(len(self.cells), self.block_size)
        twin.cells, twin.origin = list(self.cells), self.origin
        return twin

    @property
    def committed(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell is not None)

    @property
    def first_masked(self) -> int:
        """Its length when nothing is masked."""
        return self.cells.index(None) if None in self.cells else len(self.cells)

    @property
    def blocks(self) -> list[range]:
        starts = [
            *range(0, self.origin, self.block_size),
            *range(self.origin, len(self.cells), self.block_size),
        ]
        return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(self.cells)], strict=True)]

    def located(self) -> Iterator[tuple[int, Cell]]:
        """The committed cells with where their text begins in the committed text."""
        start = 0
        for cell in self.committed:
            yield start, cell
            start += len(cell.text)

    def differing(self, other: "Region") -> tuple[Cell, ...]:
        """The cells whose text is not at the same place of the other region's text."""
        text = "".join(cell.text for cell in other.committed)
        return tuple(cell for start, cell in self.located() if not text.startswith(cell.text, start))


class Written:
    """Who wrote what of a region's committed text, asked for its pieces from the left.

    The tokens of one member tell half characters where another's tell whole ones: who comes next is found behind them.
    """

    def __init__(self, region: Region) -> None:
        located = list(region.located())
        self._starts = [start for start, _ in located]
        self._cells = [cell for _, cell in located]
        self._text = "".join(cell.text for cell in self._cells)
        self._offset = 0
        self._is_lost = False

    def next(self, text: str) -> Cell | None:
        """The cell that holds the first character of the next text; that of an empty text is empty."""
        if self._is_lost and text and HALF_CHARACTER not in text:
            self._find(text)
        told = self._text[self._offset : self._offset + max(len(text), 1)]
        if told != text and HALF_CHARACTER in told + text:
            self._is_lost = True
            return self._at(self._offset, told)
        cell = self._at(self._offset, text)
        self._offset += len(text)
        return cell

    def _find(self, text: str) -> None:
        found = self._text.find(text, self._offset)
        if found >= 0:
            self._offset, self._is_lost = found, False

    def _at(self, offset: int, text: str) -> Cell | None:
        at = bisect_left(self._starts, offset)
        last = bisect_right(self._starts, offset)
        for start, cell in zip(self._starts[max(at - 1, 0) : last], self._cells[max(at - 1, 0) : last], strict=True):
            if offset < start + max(len(cell.text), 1) and cell.text[offset - start :][:1] == text[:1]:
                return cell
        return None


@dataclass(slots=True, eq=False)
class CanvasView:
    """One member's canvas as far as its events tell it.

    `answer_start` is the first answer position, the same for all members. `fresh` are the cells that the last event
    wrote, `rejected` those that the coming relay takes away; `guesses` are the last two answer probes' texts.
    """

    model: str
    reasoning: Region
    answer: Region
    answer_start: int
    masked_left: int
    probe: AnswerProbe | None = None
    guesses: tuple[str, str] = ("", "")
    fresh: tuple[Cell, ...] = ()
    rejected: tuple[Cell, ...] = ()
    settled: dict[int, str] = field(default_factory=dict)  # the canvas after the last round, by position

    def region(self, name: RegionName) -> Region:
        return self.reasoning if name == "reasoning" else self.answer

    @property
    def active_block(self) -> tuple[RegionName, range]:
        """The region and the block that hold the first mask; an empty block when nothing is masked."""
        for name in REGIONS:
            region = self.region(name)
            if None in region.cells:
                return name, next(block for block in region.blocks if region.first_masked in block)
        return "answer", range(0)

    def place(self, position: int, cell: Cell) -> None:
        if position < len(self.reasoning.cells):
            self.reasoning.cells[position] = cell
            return
        if 0 <= (offset := position - self.answer_start) < len(self.answer.cells):
            self.answer.cells[offset] = cell

    def step(self, event: StepTaken) -> None:
        self.fresh = tuple(Cell(text, confidence, self.model) for _, text, confidence in event.set)
        for (position, _, _), cell in zip(event.set, self.fresh, strict=True):
            self.place(position, cell)
        self.masked_left = event.masked_left
        self.show_probe(event.answer_probe)

    def show_probe(self, probe: AnswerProbe) -> None:
        self.probe, self.guesses = probe, (self.guesses[1], probe.text)

    def rewrite(self, source: "CanvasView", confidences: Mapping[int, float | None], writer: str) -> None:
        """The settled tokens and no others. Who wrote one is looked up in the source's text; it is `writer` if not
        found.
        """
        written = {name: Written(source.region(name)) for name in REGIONS}
        for name in REGIONS:
            self.region(name).cells = [None] * len(self.region(name).cells)
        for position, text in sorted(self.settled.items()):
            old = written["reasoning" if position < len(self.reasoning.cells) else "answer"].next(text)
            confidence = confidences.get(position)
            if old is not None and confidence is None:
                confidence = old.confidence
            self.place(position, Cell(text, confidence, writer if old is None else old.writer))
        self.masked_left = (self.reasoning.cells + self.answer.cells).count(None)

    def adopt(self, leading: "CanvasView", relay: RelayInfo) -> None:
        """Take over the leader's canvas, unless it overflows. Cells keep their writers; what is new here is fresh."""
        self.settled = _changed(self.settled, relay)
        if relay.result == "overflow":
            return
        before = self.reasoning.copy(), self.answer.copy()
        self.rewrite(leading, {}, "")
        self.fresh = self.reasoning.differing(before[0]) + self.answer.differing(before[1])
        for name in REGIONS:
            if relay.result == "transcoded":  # blocks are counted from the receiver's first mask
                self.region(name).origin = self.region(name).first_masked
            elif relay.result == "copied":
                self.region(name).origin = leading.region(name).origin

    def clear_marks(self) -> None:
        self.fresh = self.rejected = ()


@dataclass(slots=True, eq=False)
class WatchState:
    """Everything on screen. `apply` takes the events in order; a round is assessed first and relayed after.

    Between the two `verdict` is the round, so that a display can hold there: `relay` goes on, and the next
    event does so where nobody called it. `arrived` is the round whose relay was the last thing to happen.
    """

    prompt: str = ""
    created: Created | None = None
    views: dict[str, CanvasView] = field(default_factory=dict)
    rounds: list[RoundEnded] = field(default_factory=list)
    verdict: RoundEnded | None = None
    arrived: RoundEnded | None = None
    completed: Completed | None = None
    failed: Failed | None = None
    step: int = 0
    _kept: dict[int, str] = field(default_factory=dict)  # the relayed canvas, by the leader's positions

    def apply(self, event: Event) -> None:
        self.relay()
        if isinstance(event, Created):
            self.created = event
            self.views = {model.id: _blank_view(model.id, event.canvas) for model in event.models}
        elif isinstance(event, StepTaken):
            self._step(event)
        elif isinstance(event, RoundEnded):
            self._assess(event)
        elif isinstance(event, Completed):
            self._clear_marks()
            self.completed = event
        elif isinstance(event, Failed):
            self.failed = event

    def relay(self) -> None:
        """Hand the leader's canvas over, if a round waits for it."""
        event, self.verdict = self.verdict, None
        if event is None:
            return
        self._clear_marks()
        self.arrived = event
        for relay in event.relayed:
            self.views[relay.to].adopt(self.views[event.leader], relay)

    def _step(self, event: StepTaken) -> None:
        if self.arrived is not None:
            self._clear_marks()
        self.step = event.step
        self.views[event.model].step(event)

    def _assess(self, event: RoundEnded) -> None:
        self._clear_marks()
        self.rounds.append(event)
        self.verdict = event
        leading = self.views[event.leader]
        self._reconcile(leading, event)
        for relay in event.relayed:
            view = self.views[relay.to]
            if relay.result != "overflow":
                view.rejected = view.reasoning.differing(leading.reasoning) + view.answer.differing(leading.answer)

    def _reconcile(self, leading: CanvasView, event: RoundEnded) -> None:
        """Write the leader's canvas by what the round says: right even where step events are missing."""
        leading.settled = self._kept = _changed(self._kept, event)
        leading.rewrite(leading, {position: confidence for position, _, confidence in event.set}, event.leader)
        leading.show_probe(event.answer_probe)

    def _clear_marks(self) -> None:
        self.arrived = None
        for view in self.views.values():
            view.clear_marks()


def _changed(texts: Mapping[int, str], change: RoundEnded | RelayInfo) -> dict[int, str]:
    left = {position: text for position, text in texts.items() if position not in change.unset}
    return left | {position: text for position, text, _ in change.set}


def _blank_view(model: str, shape: CanvasInfo) -> CanvasView:
    return CanvasView(
        model,
        Region(shape.reasoning, shape.block_size),
        Region(shape.answer, shape.block_size),
        answer_start=shape.reasoning + shape.suffix,
        masked_left=shape.reasoning + shape.answer,
    )
