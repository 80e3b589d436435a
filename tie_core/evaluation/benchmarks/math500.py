"""MATH500: competition problems with LaTeX answers (Hendrycks et al., arXiv 2103.03874; the 500 of Lightman et al.).

The paper's prompt is not published; this one is ours, zero-shot. Answers are compared by math-verify, which is more
lenient than a comparison of texts: `28/6` is `\\frac{14}{3}`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tie_core.evaluation.benchmarks import equivalence
from tie_core.evaluation.benchmarks.extraction import (
    LONGEST,
    behind_phrase,
    boxed,
    without_emphasis,
    without_remarks,
)
from tie_core.evaluation.benchmarks.files import Files, Record, items_of, read_lines
from tie_core.evaluation.task import Item, Task, paper_options

FILES = Files("math500", ("test.jsonl",), "HuggingFaceH4/MATH-500 on Hugging Face, test.jsonl")
PROMPT = (
    "Solve this problem. First reason step by step, briefly. Then give the final answer in LaTeX, and nothing else,"
    ' after "Answer:".\n\n{problem}'
)
LONGEST_FORMULA = 1000  # characters that are compared; the longest right ones have about 100
_DELIMITED = re.compile(r"(?<!\\)\$\$?(.+?)(?<!\\)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_SAME = (
    (re.compile(r"\\(?:text|mathrm|mbox)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\[!,;:]|\\ |~|\s+(?![0-9])|(?<![0-9\s])\s+"), ""),
)
_PLAIN_NUMBER = re.compile(r"-?[0-9,]*\.?[0-9]+")
_CALCULATION = re.compile(r"[0-9)}]\s*(?:[-+*!]|\^(?!\s*\{?\\circ)|\\cdot|\\times)|\\sqrt")
_PI = re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Expression:
    latex: str


def load(folder: Path) -> tuple[Item, ...]:
    path = FILES.find(folder)
    return items_of(path, read_lines(path), _item)


def grade(item: Item, answer: str) -> bool:
    assert isinstance(item.reference, Expression)
    final = final_of(answer)
    if not final or len(final) > LONGEST_FORMULA:
        return False
    if _same(final) == _same(item.reference.latex):
        return True
    if _PLAIN_NUMBER.fullmatch(item.reference.latex):  # what equals it is no answer before it is worked out
        *_, final = ("", *(side for side in final.split("=") if not _CALCULATION.search(side)))
    return final != "" and equivalence.verifier().is_equal(item.reference.latex, _PI.sub(r"\\pi", final))


def final_of(answer: str) -> str:
    """The LaTeX of an answer, without delimiters: its last box, else its first line (a matrix may have more), behind
    `answer is`. Of that, the one formula if it comes first, or if no digit is outside of it."""
    answer = answer[:LONGEST]
    if content := boxed(answer):
        return content.strip()
    paragraph, *_ = re.split(r"\n\s*\n", answer.strip(), maxsplit=1)
    line = paragraph if r"\begin" in paragraph else paragraph.partition("\n")[0]
    line = without_remarks(behind_phrase(without_emphasis(line))).strip(" :")
    formulas = _DELIMITED.findall(line)
    if len(formulas) == 1 and (_DELIMITED.match(line) or not re.search("[0-9]", _DELIMITED.sub("", line))):
        return "".join(formulas[0]).strip()
    line = _DELIMITED.sub(lambda found: "".join(part or "" for part in found.groups()), line)
    return line.strip().removesuffix(".").strip(" :")


def _same(latex: str) -> str:
    for pattern, replacement in _SAME:
        latex = pattern.sub(replacement, latex)
    return latex


def _item(_: int, record: Record) -> Item:
    number = record.text("unique_id").removeprefix("test/").removesuffix(".json")
    return Item(
        f"math500/{number}",
        PROMPT.format(problem=record.text("problem").strip()),
        Expression(record.text("answer").strip()),
        record.text("subject"),
    )


TASK = Task(
    "math500",
    "MATH500",
    paper_options("math", gen_length=512),
    load,
    grade,
    source=FILES.source,
    check=equivalence.check,
)
