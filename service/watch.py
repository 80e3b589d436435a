"""What a person who watches a request sees: canvases, relays and rounds, folded from its events.

Runs no model and draws nothing. Knows text and positions only: a server's events do as well as the library's.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tie_core.events import AnswerProbe, CanvasInfo, Completed, Created, Event, Failed, RelayInfo, RoundEnded, StepTaken

RegionName = Literal["reasoning", "answer"]
REGIONS: tuple[RegionName, ...] = ("reasoning", "answer")


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A committed token, the member that wrote its text, and the member whose token it is. Equal to itself alone.

    A relay keeps the writer. Where no steps are told, a transcoded canvas is known in the leader's tokens alone.
    """

    text: str
    confidence: float | None
    writer: str
    tokens_of: str


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

    def retold(self, texts: Sequence[str | None], tokens_of: str) -> "Region":
        """The same text in another member's tokens, which keep its writers. Blocks are counted from its first mask."""
        twin, written, offset = Region(len(self.cells), self.block_size), Written(self), 0
        for place, text in enumerate(texts):
            if text is not None:
                old = written.find(offset, text)
                confidence, writer = (old.confidence, old.writer) if old is not None else (None, "")
                twin.cells[place] = Cell(text, confidence, writer, tokens_of)
                offset += len(text)
        twin.origin = twin.first_masked
        return twin


class Written:
    """Who wrote what of a region's committed text, as it was when this was made."""

    def __init__(self, region: Region) -> None:
        located = list(region.located())
        self._starts = [start for start, _ in located]
        self._cells = [cell for _, cell in located]

    def find(self, offset: int, text: str) -> Cell | None:
        """The cell that holds the first character of `text` at this place; an empty text is found in an empty cell."""
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
        self.fresh = tuple(Cell(text, confidence, self.model, self.model) for _, text, confidence in event.set)
        for (position, _, _), cell in zip(event.set, self.fresh, strict=True):
            self.place(position, cell)
        self.masked_left = event.masked_left
        self.show_probe(event.answer_probe)

    def show_probe(self, probe: AnswerProbe) -> None:
        self.probe, self.guesses = probe, (self.guesses[1], probe.text)

    def adopt(self, leading: "CanvasView", relay: RelayInfo) -> None:
        """Take over the leader's canvas. Its cells keep their writers; what is new here is fresh."""
        reasoning, answer = leading.reasoning.copy(), leading.answer.copy()
        self.masked_left = leading.masked_left
        if relay.tokens is not None:
            start, length = self.answer_start, len(answer.cells)
            reasoning = reasoning.retold(relay.tokens[: len(reasoning.cells)], self.model)
            answer = answer.retold(relay.tokens[start : start + length], self.model)
            self.masked_left = (reasoning.cells + answer.cells).count(None)
        self.fresh = reasoning.differing(self.reasoning) + answer.differing(self.answer)
        self.reasoning, self.answer = reasoning, answer

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
            if relay.result != "overflow":
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
        for position in event.unset:
            self._kept.pop(position, None)
        self._kept.update({position: text for position, text, _ in event.set})
        confidences = {position: confidence for position, _, confidence in event.set}
        before = {name: Written(leading.region(name)) for name in REGIONS}
        offsets = dict.fromkeys(REGIONS, 0)
        leading.reasoning.cells[:] = [None] * len(leading.reasoning.cells)
        leading.answer.cells[:] = [None] * len(leading.answer.cells)
        for position, text in sorted(self._kept.items()):
            name: RegionName = "reasoning" if position < len(leading.reasoning.cells) else "answer"
            old = before[name].find(offsets[name], text) or Cell(text, None, event.leader, event.leader)
            confidence = confidences.get(position)
            confidence = old.confidence if confidence is None else confidence
            leading.place(position, Cell(text, confidence, old.writer, event.leader))
            offsets[name] += len(text)
        leading.masked_left = event.masked_left
        leading.show_probe(event.answer_probe)

    def _clear_marks(self) -> None:
        self.arrived = None
        for view in self.views.values():
            view.clear_marks()


def _blank_view(model: str, shape: CanvasInfo) -> CanvasView:
    return CanvasView(
        model,
        Region(shape.reasoning, shape.block_size),
        Region(shape.answer, shape.block_size),
        answer_start=shape.reasoning + shape.suffix,
        masked_left=shape.reasoning + shape.answer,
    )
