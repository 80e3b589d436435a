"""GSM8K: grade-school word problems whose answer is one number (Cobbe et al., arXiv 2110.14168).

The paper's prompt is not published; this one is ours, zero-shot.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tie_core.evaluation.benchmarks.extraction import number_in
from tie_core.evaluation.benchmarks.files import Files, Record, items_of, read_lines
from tie_core.evaluation.task import Item, Task, paper_options

FILES = Files("gsm8k", ("test.jsonl",), "openai/grade-school-math on GitHub, grade_school_math/data/test.jsonl")
PROMPT = (
    'Solve this problem. First reason step by step, briefly. Then give the final answer after "Answer:" as a number,'
    " without units or words.\n\n{question}"
)


@dataclass(frozen=True, slots=True)
class Number:
    value: Fraction


def load(folder: Path) -> tuple[Item, ...]:
    path = FILES.find(folder)
    return items_of(path, read_lines(path), _item)


def grade(item: Item, answer: str) -> bool:
    assert isinstance(item.reference, Number)
    return number_in(answer) == item.reference.value


def _item(number: int, record: Record) -> Item:
    _, mark, final = record.text("answer").rpartition("#### ")
    value = number_in(final) if mark else None
    if value is None:
        raise record.malformed("'answer' does not end in '#### ' and a number")
    return Item(f"gsm8k/{number}", PROMPT.format(question=record.text("question").strip()), Number(value))


TASK = Task("gsm8k", "GSM8K", paper_options("math", gen_length=256), load, grade, source=FILES.source)
