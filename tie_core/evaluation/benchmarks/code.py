"""What is the same for benchmarks of code: the answer's program text, and its tests run in the sandbox."""

import ast
import re
import warnings
from itertools import islice
from textwrap import indent
from threading import Lock

from tie_core.evaluation.sandbox import run

REQUEST = "Answer with one Python code block that holds the whole function and the imports it needs, and stop after it."
MOST_FENCES = 8  # of an answer that are looked at
MOST_CUTS = 20
_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*\n?|```[ \t]*$", re.MULTILINE)
_FUNCTION = "def f():\n"
_parsing = Lock()  # Python's filters of warnings are the process's


def code_of(answer: str) -> str:
    """The code of an answer that stands behind an opening fence: the first text that is Python, from the start or from
    behind a fence, up to a fence or the end.

    If there is none: the first text that a fence ends, up to the prose behind its code.
    """
    fences = list(islice(_FENCE.finditer(answer), MOST_FENCES))
    starts = [0, *(fence.end() for fence in fences)]
    ends = [*(fence.start() for fence in fences), len(answer)]
    texts = [text for start in starts for end in ends if (text := answer[start:end]).strip()]
    python = (text for text in texts if any(_broken_line(*reading) is None for reading in _readings(text)))
    between = (answer[start:end] for start, end in zip(starts, ends, strict=True))
    return next(python, None) or _without_prose(next((text for text in between if text.strip()), ""))


def defines(code: str, name: str) -> bool:
    return re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", code, re.MULTILINE) is not None


def as_body(code: str) -> str:
    """Code that goes on inside of a function. Answers are stripped, so its first line may have lost its indentation."""
    first, *_ = code.splitlines() or [""]
    return code if first[:1].isspace() else indent(first, "    ") + code[len(first) :]


def _readings(code: str) -> tuple[tuple[str, str], ...]:
    """Code as a module and as a function's body: what is before it, and it."""
    return ("", code), (_FUNCTION, as_body(code))


def _broken_line(before: str, code: str) -> int | None:
    """None where code is Python; else the line, from 0, that Python names as the mistake (-1: none)."""
    with _parsing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(before + code)
        except SyntaxError as error:
            return (error.lineno or 0) - 1 - before.count("\n")
        except (ValueError, RecursionError, MemoryError):
            return -1
    return None


def _without_prose(text: str) -> str:
    """The lines before the first one that is no Python, if that is not indented and they are; else the whole text."""
    for before, code in _readings(text):
        lines, num_lines = code.splitlines(keepends=True), len(code)
        for _ in range(MOST_CUTS):  # Python may name a later mistake first
            broken = _broken_line(before, "".join(lines[:num_lines]))
            if broken is None:
                return "".join(text.splitlines(keepends=True)[:num_lines])
            if not 0 < broken < len(lines) or lines[broken][:1].isspace():
                break
            num_lines = broken
    return text


def passes(program: str) -> bool:
    """Whether a program with its tests runs to its end.

    Raises:
        TaskError: the sandbox could not run it, so nothing is known of it.
    """
    return run(program).passed
