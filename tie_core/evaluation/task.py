"""What an ensemble can be measured on: a task's items, the options it is asked with, and a grader of answers.

Knows no model and no server. The grader sees the text of the answer positions and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tie_core.errors import TaskError
from tie_core.options import PRESETS
from tie_core.options import Task as Preset

PAPER_BLOCK_SIZE = 16
SUFFIX = "Answer:"


@dataclass(frozen=True, slots=True)
class Item:
    """One question. `id` is stable and unique within its task (`gsm8k/17`), `prompt` the user's message, `reference`
    what the task's grader holds an answer against, `group` a subject for tables by group."""

    id: str
    prompt: str
    reference: object
    group: str = ""


def _nothing_missing() -> None:
    """Most graders need nothing but Python."""


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark.

    `options` are what a request asks over an ensemble's defaults. `load` reads the public files from a local folder
    (`source` says where they come from; "": the items are made here, and the folder is not looked at) and raises
    `TaskError` for a missing file or a malformed line. `grade` judges the text of the answer positions: whatever is
    malformed is wrong, never an exception. `runs_code`: grading runs what models wrote. `check` raises `TaskError`
    where something that grading needs is missing on this machine. `load_validation` gives items to choose settings on,
    none of which `load` gives (None: a part of those is set aside). `about` and `notes` (Markdown) are for readers of
    its figures: what the items are, and what the figures do not show.
    """

    name: str
    title: str
    options: Mapping[str, Any]
    load: Callable[[Path], tuple[Item, ...]]
    grade: Callable[[Item, str], bool]
    source: str = ""
    runs_code: bool = False
    check: Callable[[], None] = _nothing_missing
    load_validation: Callable[[Path], tuple[Item, ...]] | None = None
    about: str = ""
    notes: str = ""


def check_ready(task: Task, *, run_code: bool = False) -> None:
    """Before the first request, so that no answer is spent on a task that cannot be graded.

    Raises:
        TaskError: its grader runs code and `run_code` does not allow it, or something that it needs is missing.
    """
    if task.runs_code and not run_code:
        raise TaskError(
            f"{task.name} is graded by running what the models wrote: allow it with --run-code. It runs in child"
            " processes with limits on time, memory, files and network, which hold back mistakes and not attackers:"
            " use a container or a machine that holds nothing of value (SECURITY.md)"
        )
    task.check()


def paper_options(preset: Preset, **changes: Any) -> dict[str, Any]:
    """The paper's canvas for a kind of task, spelled out, so that nothing of an ensemble's own canvas gets in.

    The interval is not of the canvas, and depends on the score.
    """
    canvas = {name: value for name, value in PRESETS[preset].items() if name != "interval"}
    return {"task": preset, "suffix": SUFFIX, **canvas, "block_size": PAPER_BLOCK_SIZE, **changes}
