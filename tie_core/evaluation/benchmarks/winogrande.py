"""WinoGrande: which of two names fills the blank of a sentence (Sakaguchi et al., arXiv 1907.10641), the dev set.

The paper's prompt is not published; this one is ours, zero-shot.
"""

from pathlib import Path

from tie_core.evaluation.benchmarks.choices import grade, question_of
from tie_core.evaluation.benchmarks.files import Files, Record, items_of, read_lines
from tie_core.evaluation.task import Item, Task, paper_options

FILES = Files("winogrande", ("dev.jsonl",), "AI2's winogrande_1.1, dev.jsonl (winogrande.allenai.org)")
QUESTION = "Which choice belongs in the blank (_) of this sentence?\n{sentence}"
OPTIONS = ("option1", "option2")


def load(folder: Path) -> tuple[Item, ...]:
    path = FILES.find(folder)
    return items_of(path, read_lines(path), _item)


def _item(_: int, record: Record) -> Item:
    sentence, right = record.text("sentence"), record.text("answer")
    if "_" not in sentence:
        raise record.malformed("'sentence' has no blank (_)")
    if right not in ("1", "2"):
        raise record.malformed("'answer' is neither '1' nor '2'")
    prompt, reference = question_of(
        record, QUESTION.format(sentence=sentence), [record.text(option) for option in OPTIONS], int(right) - 1
    )
    return Item(f"winogrande/{record.text('qID')}", prompt, reference)


TASK = Task("winogrande", "WinoGrande", paper_options("general"), load, grade, source=FILES.source)
