"""Draws the picture of `terminal.md`, a moment of the recorded run `pictures/run.ndjson` as a terminal shows it.

`make fmt` runs it. `--round 2 --columns 80` is another moment and width, into `--out`.
"""

import argparse
import io
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from service.recording import read_recording
from service.screen import Screen
from service.watch import WatchState
from tie_core.events import RoundEnded

FOLDER = Path(__file__).resolve().parent / "pictures"
RUN, PICTURE = FOLDER / "run.ndjson", FOLDER / "terminal.svg"
TITLE: Final = "tie replay docs/pictures/run.ndjson"
THEME: Final = TerminalTheme(
    (30, 33, 41),
    (221, 221, 221),
    [
        *((0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16)),
        *((36, 114, 200), (188, 63, 188), (17, 168, 205), (229, 229, 229)),
    ],
    [
        *((102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67)),
        *((90, 150, 230), (214, 112, 214), (41, 184, 219), (255, 255, 255)),
    ],
)
SVG: Final = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>A run in the terminal</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; font-variant-east-asian: full-width }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}"
height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""
"""Rich's own form of a picture, with the fonts of whoever looks at it."""


def draw(number: int = 3, columns: int = 96, rows: int = 24) -> str:
    """The frame in which round `number` has been assessed and its leader is about to be relayed."""
    recording = read_recording(RUN)
    state = WatchState(recording.prompt)
    for event in recording.events:
        state.apply(event)
        if isinstance(event, RoundEnded) and event.round == number:
            break
    console = Console(
        file=io.StringIO(), record=True, width=columns, height=rows, force_terminal=True, color_system="standard"
    )
    console.print(Screen(state))
    picture = console.export_svg(title=TITLE, theme=THEME, code_format=SVG, unique_id="tie")
    return "".join(f"{line.rstrip()}\n" for line in picture.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", type=int, default=3)
    parser.add_argument("--columns", type=int, default=96)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args()
    options.out.write_text(draw(options.round, options.columns, options.rows), encoding="utf-8")


if __name__ == "__main__":
    main()
