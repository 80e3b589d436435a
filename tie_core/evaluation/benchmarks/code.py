"""What is the same for benchmarks of code: the answer's program text, and its tests run in the sandbox."""

import re
from textwrap import indent

from tie_core.evaluation.sandbox import run

FENCE = "```"
REQUEST = "Answer with one Python code block that holds the whole function and the imports it needs, and stop after it."


def code_of(answer: str) -> str:
    """The code of an answer that stands behind an opening fence, up to the closing one; a fence that it opens again is
    left out."""
    again = re.match(rf"\s*{FENCE}\w*[ \t]*\n", answer)
    code = answer[again.end() :] if again else answer
    return re.split(rf"^{FENCE}", code, maxsplit=1, flags=re.MULTILINE)[0]


def defines(code: str, name: str) -> bool:
    return re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", code, re.MULTILINE) is not None


def as_body(code: str) -> str:
    """Code that goes on inside of a function. Answers are stripped, so its first line may have lost its indentation."""
    first, *_ = code.splitlines() or [""]
    return code if first[:1].isspace() else indent(first, "    ") + code[len(first) :]


def passes(program: str) -> bool:
    """Whether a program with its tests runs to its end.

    Raises:
        TaskError: the sandbox could not run it, so nothing is known of it.
    """
    return run(program).passed
