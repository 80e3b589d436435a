"""Draws the pictures of `concepts.md` from a recorded run, `pictures/run.ndjson`; `make fmt` runs it.

With `--record` the embedded models run first, and what they do is the new recording.
"""

import argparse
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from service.recording import read_recording, recorded
from service.watch import CanvasView, Cell, WatchState
from tie_core.events import Completed, Created, Event, RoundEnded, StepTaken

FOLDER = Path(__file__).resolve().parent / "pictures"
RUN = "run.ndjson"
QUESTION = "swp 314159; rev ------; dec 141421"
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of the members, in their order: those of the playground."""
STYLE: Final = """
text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #222; white-space: pre }
.panel { fill: #fff; stroke: #ccc } .quiet { fill: #666 } .mask { fill: #e8e8ec } .on { fill: #fff }
.line { stroke: #999; fill: none } .gone { text-decoration: line-through }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .panel { fill: #1e2129; stroke: #444 } .quiet { fill: #aaa }
  .mask { fill: #33363f } .on { fill: #fff }
}
"""
LEFT, TOP, CHARACTER, LINE = 120, 36, 7.9, 22
STEP, POSITION = 7, 8


def record(folder: Path) -> None:
    """Run the embedded models on the question, every step told, and write the events as lines."""
    import torch

    from tie_core import Ensemble, load_member, zoo

    torch.set_num_threads(1)
    members = [load_member(name, zoo.member_path(name)) for name in zoo.MEMBERS]
    ensemble = Ensemble("tie", members, zoo.DEFAULTS, zoo.POLICY_DEFAULTS)
    body = {"messages": [{"role": "user", "content": QUESTION}]}
    deque(recorded(ensemble.generate(**body, detail="step"), folder / RUN, body), maxlen=0)


def draw(folder: Path) -> dict[str, str]:
    """The pictures of the run in this folder, by their file names."""
    events = read_recording(folder / RUN).events
    (created,) = (event for event in events if isinstance(event, Created))
    colours = {model.id: COLOURS[model.index % len(COLOURS)] for model in created.models}
    return {
        "run-rounds.svg": _rounds(events, colours),
        "run-steps.svg": _steps(events, colours),
        "run-scores.svg": _scores(events, colours),
    }


def _rounds(events: Iterable[Event], colours: Mapping[str, str]) -> str:
    """What each member had written at the end of each round, before the leader's canvas became everybody's."""
    state, parts, y = WatchState(), [], float(TOP)
    scores: list[tuple[float, str]] = []  # where, and what is said beside a canvas
    right = 0.0
    for event in events:
        state.apply(event)
        if isinstance(event, RoundEnded):
            words = f"round {event.round}: {event.leader} leads" + (" (a switch)" if event.switched else "")
            parts.append(_text(16, y, words, "quiet"))
            for model, score in event.scores.items():
                y += LINE
                right = max(right, LEFT + CHARACTER * _num_characters(state.views[model]))
                parts += _canvas(y, state.views[model], colours)
                mark = "►" if model == event.leader else " "
                scores.append((y, f"{mark} changes {score.tcc:.2f}  top-1 {score.top1:.3f}"))
            y += LINE + 10
        elif isinstance(event, Completed):
            parts.append(_text(16, y, f"answer, from {event.tie.final_model}: {event.answer}", ""))
    parts += [_text(right + 16, at, words, "quiet") for at, words in scores]
    return _svg(right + 250, y + 20, "The canvases at the end of each round", parts)


def _shown(view: CanvasView) -> Iterator[tuple[Cell | None, str]]:
    """The cells of a canvas with what stands for each; a bar ends the reasoning and the answer."""
    for cells in (view.reasoning.cells, view.answer.cells):
        yield from ((cell, "·" if cell is None else cell.text) for cell in cells)
        yield None, "|"


def _num_characters(view: CanvasView) -> int:
    return sum(len(words) for _, words in _shown(view))


def _canvas(y: float, view: CanvasView, colours: Mapping[str, str]) -> Iterator[str]:
    """A member's tokens in a row, by who wrote them; those that the relay takes away are struck out."""
    yield _text(16, y, view.model, "")
    x: float = LEFT
    for cell, words in _shown(view):
        width = CHARACTER * len(words)
        if cell is None:
            yield _text(x, y, words, "quiet")
        else:
            gone = " gone" if any(cell is other for other in view.rejected) else ""
            yield _box(x, y - 14, width - 1, 19, colours[cell.writer])
            yield _text(x, y, words, f"on{gone}")
        x += width


def _steps(events: Iterable[Event], colours: Mapping[str, str]) -> str:
    """Every member's canvas after each of its steps, from the top down: a column is a position, from its commit on."""
    state, relays = WatchState(), []
    rows: dict[str, list[list[Cell | None]]] = {model: [] for model in colours}
    for event in events:
        state.apply(event)
        if isinstance(event, StepTaken):
            view = state.views[event.model]
            rows[event.model].append([*view.reasoning.cells, *view.answer.cells])
        elif isinstance(event, RoundEnded):
            relays.append((max(map(len, rows.values())), event.leader))
    num_steps, num_positions = max(map(len, rows.values())), max(len(each[0]) for each in rows.values())
    parts: list[str] = [
        _text(12, TOP + 24, "step 1", "quiet"),
        _text(12, TOP + 12 + STEP * num_steps, f"{num_steps}", "quiet"),
    ]
    for at, (model, canvases) in enumerate(rows.items()):
        parts += _columns(80 + at * (POSITION * num_positions + 30), model, canvases, colours)
    right = 80 + len(rows) * (POSITION * num_positions + 30)
    for step, leader in relays:
        y = TOP + 14 + STEP * step
        parts += [f'<path class="line" d="M72 {y} H{right - 22}"/>', _text(right - 16, y + 4, leader, "quiet")]
    parts.append(_text(right - 16, TOP, "relay from", "quiet"))
    return _svg(right + 80, TOP + 30 + STEP * num_steps, "The canvases over the steps", parts)


def _columns(
    left: float, model: str, canvases: Sequence[Sequence[Cell | None]], colours: Mapping[str, str]
) -> Iterator[str]:
    top, height = TOP + 14, STEP * len(canvases)
    yield _text(left, TOP, model, "")
    yield f'<rect class="mask" x="{left}" y="{top}" width="{POSITION * len(canvases[0])}" height="{height}"/>'
    for at, column in enumerate(zip(*canvases, strict=True)):
        start = 0
        for _, run in groupby(column, key=_looks):
            cell, *more = run
            length = 1 + len(more)
            if cell is not None:
                shade = 0.35 + 0.65 * (1.0 if cell.confidence is None else cell.confidence)
                x, y = left + POSITION * at, top + STEP * start
                yield _box(x, y, POSITION - 1, STEP * length - 1, colours.get(cell.writer, "#888"), shade)
            start += length


def _looks(cell: Cell | None) -> object:
    """What two moments of a cell have in common where nothing has changed."""
    return cell and astuple(cell)


def _scores(events: Iterable[Event], colours: Mapping[str, str]) -> str:
    """Token changes and mean top-1 probability of every trajectory, round by round, and who led."""
    rounds = [event for event in events if isinstance(event, RoundEnded)]
    tcc = {model: [event.scores[model].tcc for event in rounds] for model in colours}
    top1 = {model: [event.scores[model].top1 for event in rounds] for model in colours}
    parts = [*_chart(60, "token change count: lower leads", tcc, rounds, colours)]
    parts += _chart(470, "mean top-1: higher leads where they are equal", top1, rounds, colours)
    for at, model in enumerate(colours):
        parts += [_box(60 + 150 * at, 238, 12, 12, colours[model]), _text(78 + 150 * at, 249, model, "")]
    parts.append(_text(78 + 150 * len(colours), 249, "large: led the round", "quiet"))
    return _svg(860, 266, "Scores and leaders of the rounds", parts)


def _chart(
    left: float, title: str, values: Mapping[str, list[float]], rounds: list[RoundEnded], colours: Mapping[str, str]
) -> Iterator[str]:
    low, high = min(map(min, values.values())), max(map(max, values.values()))
    span = (high - low) or 1.0

    def place(at: int, value: float) -> tuple[float, float]:
        return left + 20 + at * 300 / max(1, len(rounds) - 1), 190 - 120 * (value - low) / span

    yield _text(left, TOP, title, "quiet")
    yield f'<path class="line" d="M{left} 60 V200 H{left + 340}"/>'
    yield from (_text(left - 46, place(0, value)[1] + 4, f"{value:.2f}", "quiet") for value in {low, high})
    for at, event in enumerate(rounds):
        words = f"{event.round}{' ⇄' if event.switched else ''}"
        yield _text(place(at, low)[0] - 4, 218, words, "quiet")
    for model, line in values.items():
        points = [place(at, value) for at, value in enumerate(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colours[model]}" stroke-width="2"/>'
        for (x, y), event in zip(points, rounds, strict=True):
            radius = 6 if event.leader == model else 2
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colours[model]}"/>'


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def _box(x: float, y: float, width: float, height: float, colour: str, shade: float = 1.0) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{colour}" fill-opacity="{shade:.2f}"/>'


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    panel = f'<rect class="panel" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="6"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"><title>{title}</title>'
    return "\n".join([head, f"<style>{STYLE}</style>", panel, *parts, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="run the embedded models anew")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the run and the pictures")
    options = parser.parse_args()
    if options.record:
        record(options.out)
    for name, picture in draw(options.out).items():
        (options.out / name).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
