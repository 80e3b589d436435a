"""The watch display: a `WatchState` as something that rich can print, at any width and height.

What models wrote is data: it is never read as markup, and its control characters are made visible.
"""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from service.lines import MASK, score_text, summary_lines, visible
from service.rows import Lines, Marks, Row
from service.watch import CanvasView, Cell, WatchState
from tie_core.events import Completed, RoundEnded

COLOURS: Final = ("cyan", "magenta", "green", "bright_blue", "yellow", "red")  # legible on light and on dark
ACTIVE_MASK, END = "▒", "∎"
LOW, HIGH = 0.5, 0.9  # confidences below are dim, from there on bold
MIN_PANEL_WIDTH: Final = 36
CHIP_WIDTH: Final = 5  # columns that a token takes where its limits are shown
MIN_ROUNDS_SHOWN: Final = 2
SCORE_WIDTH: Final = 18  # of a score with its tie-breaker
RELAYS_WIDTH: Final = 26


class Screen:
    """One frame. It never asks for more lines than there are while the request runs."""

    def __init__(self, state: WatchState) -> None:
        self._state = state
        models = state.created.models if state.created is not None else ()
        self._colours = {model.id: COLOURS[model.index % len(COLOURS)] for model in models}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        header, footer = self._header(), self._footer(width)
        yield header
        if self._state.views:
            footer_height = len(console.render_lines(footer, options, pad=False))
            yield from self._middle(console, width, height - 1 - footer_height - len(header.renderables))
        yield footer

    def _middle(self, console: Console, width: int, room: int) -> Iterable[RenderableType]:
        views = list(self._state.views.values())
        num_rows = -(-len(views) // max(width // MIN_PANEL_WIDTH, 1))
        per_row = -(-len(views) // num_rows)
        inside = width // per_row - 4
        num_rounds = len(self._state.rounds)
        room -= 3 * num_rows + (num_rounds > 0)  # borders, probes, the head of the rounds
        most = max(1, (room - min(num_rounds, MIN_ROUNDS_SHOWN)) // num_rows)
        canvases = [self._canvas(view, inside, most, console) for view in views]
        shown = min(most, max(len(canvas.lines) for canvas in canvases))
        panels = [self._panel(view, canvas, shown, inside) for view, canvas in zip(views, canvases, strict=True)]
        yield _in_rows(panels, per_row)
        if num_rounds and (left := room - shown * num_rows) > 0:
            yield self._rounds(left, width)

    def _header(self) -> Group:
        created, parts = self._state.created, [Text("TIE", "bold")]
        if created is not None:
            options = created.options
            parts = [Text(created.ensemble, "bold")]
            parts += [Text(model.id, self._colours[model.id]) for model in created.models]
            shape = created.canvas
            facts = f"{options.get('score')} every {options.get('interval')} steps · {options.get('policy')}"
            facts += f" · {shape.reasoning} + {shape.answer} positions by {shape.block_size}"
            parts.append(Text(facts, "dim"))
        lines = [_one_line(Text("  ").join(parts))]
        if self._state.prompt:
            lines.append(_one_line(Text("❯ " + visible(self._state.prompt), "italic")))
        return Group(*lines)

    def _canvas(self, view: CanvasView, width: int, most: int, console: Console) -> Lines:
        """Reasoning as a row for each block, the suffix, then the answer in one run; about `most` lines each way."""
        marks = Marks.of(view)
        rows = [Row("reasoning", block) for block in view.reasoning.blocks]
        if view.answer.cells:
            rows.append(Row("answer", range(len(view.answer.cells))))
        at = self._active_row(rows, marks.active)
        above: list[Text] = []
        below: list[Text] = []
        for row in reversed(rows[:at]):
            if len(above) <= most:
                above = self._lines(view, row, marks, width, console) + above
        for row in rows[at:]:
            if len(below) <= most:
                below += self._lines(view, row, marks, width, console)
        return Lines((*above, *below), len(above) + (rows[at].region == "answer"))

    def _lines(self, view: CanvasView, row: Row, marks: Marks, width: int, console: Console) -> list[Text]:
        is_active = row.holds(marks.active)
        mark = Text("▸ ", f"bold {self._colours[view.model]}") if is_active else Text("  ")
        wrapped = self._cells(view, row, marks, width).wrap(console, max(width - 2, 1), overflow="fold")
        lines = [(Text("  ") if index else mark) + line for index, line in enumerate(wrapped)]
        return [self._suffix(width), *lines] if row.region == "answer" else lines

    @staticmethod
    def _active_row(rows: Sequence[Row], active: Row) -> int:
        """The row that decoding is at; the last one where nothing is masked."""
        for number, row in enumerate(rows):
            if row.holds(active):
                return number
        return len(rows) - 1

    def _suffix(self, width: int) -> Text:
        assert self._state.created is not None
        suffix = visible(str(self._state.created.options.get("suffix", ""))).strip()
        text = Text(f"  {suffix} ", "bold italic")
        return text.append("┄" * max(width - text.cell_len, 0), "dim not bold not italic")

    def _cells(self, view: CanvasView, row: Row, marks: Marks, width: int) -> Text:
        """The text of some positions; where there is room, with the limits of its tokens."""
        text = Text()
        cells = view.region(row.region).cells
        shows_limits = CHIP_WIDTH * len(row.positions) <= width
        for position in row.positions:
            cell = cells[position]
            if cell is None:
                is_active = row.region == marks.active.region and position in marks.active.positions
                symbol, style = (ACTIVE_MASK, f"dim {self._colours[view.model]}") if is_active else (MASK, "dim")
                text.append(symbol * (1 + shows_limits), style).append(" " * shows_limits)
            elif shows_limits:
                token = visible(cell.text).replace(" ", "␣") or END
                text.append(token, self._style(cell, marks)).append("│", "dim")
            else:
                text.append(visible(cell.text) or END, self._style(cell, marks))
        return text

    def _style(self, cell: Cell, marks: Marks) -> str:
        colour = self._colours.get(cell.writer, "default")
        if cell in marks.rejected:
            return "strike red"
        if cell in marks.fresh:
            return f"bold reverse {colour}"
        if not cell.text:
            return "dim"
        confidence = cell.confidence if cell.confidence is not None else 1.0
        shade = "dim " if confidence < LOW else "bold " if confidence >= HIGH else ""
        return shade + colour

    def _panel(self, view: CanvasView, canvas: Lines, room: int, width: int) -> Panel:
        lines = canvas.around_active(room)
        lines += [Text()] * (room - len(lines))
        title, border, is_marked = self._title(view)
        return Panel(
            Group(*lines, _one_line(self._guess(view))),
            title=title,
            title_align="left",
            subtitle=self._facts(view),
            subtitle_align="right",
            border_style=border,
            box=box.HEAVY if is_marked else box.ROUNDED,
            width=width + 4,
        )

    def _title(self, view: CanvasView) -> tuple[Text, str, bool]:
        """Title, border style, and whether the border is heavy: what this member is in the moment shown."""
        state, colour = self._state, self._colours[view.model]
        name = Text(view.model, f"not dim bold {colour}")
        if state.completed is not None and state.completed.tie.final_model == view.model:
            return name.append(" gives the answer", "bold"), f"bold {colour}", True
        moment = state.verdict or state.arrived
        if moment is None:
            return name, "dim", False
        if moment.leader == view.model:
            return name.append(f" leads round {moment.round}", "bold"), f"bold {colour}", True
        relay = next((relay for relay in moment.relayed if relay.to == view.model), None)
        if state.verdict is not None or relay is None:
            return name, "dim", False
        if relay.result == "overflow":
            return name.append(" keeps its own: no room", "bold red"), "red", False
        name.append(" ⇐ ", "bold").append(moment.leader, f"bold {self._colours[moment.leader]}")
        return name.append(f" ({relay.result})"), self._colours[moment.leader], False

    def _guess(self, view: CanvasView) -> Text:
        """What the answer would be now; characters that changed since the last step are what TCC counts."""
        text = Text("would answer ", "dim")
        if not view.answer.cells or view.probe is None:
            return text if view.answer.cells else Text()
        for before, now in zip_longest(*view.guesses, fillvalue=""):
            text.append(visible(now), "bold underline" if before != now and view.guesses[0] else "")
        return text

    def _facts(self, view: CanvasView) -> Text:
        tie = self._state.completed.tie if self._state.completed is not None else None
        if tie is not None and view.model in tie.candidates and not tie.partial and view.masked_left:
            return Text("complete: its last tokens were not told", "dim")
        if view.probe is None or not view.masked_left:
            return Text(f"{view.masked_left} masked" if view.masked_left else "complete", "dim")
        top1 = f" · top1 {view.probe.top1:.2f}" if view.probe.top1 else ""  # 0: over no position
        return Text(f"tcc {view.probe.tcc:.2f}{top1} · {view.masked_left} masked", "dim")

    def _rounds(self, room: int, width: int) -> Table:
        """The rounds so far (the last ones where there is no room for all): scores, leader, relays."""
        table = Table(box=None, padding=(0, 2, 0, 0), width=width, header_style="", pad_edge=False)
        table.add_column(Text("round", "dim"), justify="right", no_wrap=True)
        for name, colour in self._colours.items():
            table.add_column(Text(name, colour), justify="right", no_wrap=True)
        is_brief = width < SCORE_WIDTH * len(self._colours) + RELAYS_WIDTH
        leaders = Text.assemble(*(("■", self._colours[ended.leader]) for ended in self._state.rounds))
        table.add_column(Text("leaders ", "dim") + leaders, no_wrap=True, ratio=1, overflow="ellipsis")
        for ended in self._state.rounds[-room:]:
            scores = [self._score(ended, name, is_brief) for name in self._colours]
            table.add_row(Text(str(ended.round)), *scores, self._relays(ended))
        return table

    def _score(self, ended: RoundEnded, name: str, is_brief: bool) -> Text:
        if name not in ended.scores:
            return Text("—", "dim")
        is_leader = name == ended.leader
        text = score_text(ended, name)
        text = text.rpartition(" (")[0] if is_brief else text
        return Text(f"★ {text}" if is_leader else text, f"bold {self._colours[name]}" if is_leader else "dim")

    def _relays(self, ended: RoundEnded) -> Text:
        text = Text()
        if ended.switched:
            text.append("switch ", "bold yellow")
        if ended.tie_break:
            text.append(f"by {ended.tie_break.replace('_', ' ')} ", "dim")
        for relay in ended.relayed:
            text.append("⇒ ").append(relay.to, self._colours[relay.to]).append(f" {relay.result} ", "dim")
        return text

    def _footer(self, width: int) -> RenderableType:
        state = self._state
        if state.failed is not None:
            return Text("failed: " + visible(str(state.failed.error)), "bold red")
        if state.completed is not None:
            return self._result(state.completed, width)
        if (moment := state.verdict or state.arrived) is not None:
            return _one_line(Text.assemble((f"round {moment.round}: ", "bold"), self._moment(moment)))
        if state.step:
            return Text(f"round {len(state.rounds) + 1} · step {state.step}", "dim")
        return Text("waiting for the first step", "dim")

    def _moment(self, moment: RoundEnded) -> Text:
        leader = Text(moment.leader, f"bold {self._colours[moment.leader]}")
        if self._state.verdict is not None:
            return leader.append(" has the more reliable trajectory", "default not bold")
        results = ", ".join(f"{relay.to} ({relay.result})" for relay in moment.relayed) or "nobody"
        return leader.append(f" is relayed to {results}", "default not bold")

    def _result(self, completed: Completed, width: int) -> Panel:
        tie, final = completed.tie, completed.tie.final_model
        answer = Text(visible(completed.answer or completed.text), f"bold {self._colours.get(final, 'default')}")
        differing = [
            f"{name} ends with {visible(text)}"
            for name, text in tie.candidates.items()
            if name != final and text != completed.answer
        ]
        lines = [answer, *(Text(line, "dim") for line in differing)]
        lines += map(Text, summary_lines(completed))
        return Panel(
            Group(*lines),
            title=Text("answer", "bold"),
            title_align="left",
            width=width,
            border_style="bold",
        )


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _in_rows(panels: Sequence[Panel], per_row: int) -> RenderableType:
    grid = Table.grid()
    for start in range(0, len(panels), per_row):
        grid.add_row(*panels[start : start + per_row])
    return grid
