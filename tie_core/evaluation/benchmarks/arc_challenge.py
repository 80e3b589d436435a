"""ARC-Challenge: science questions of school exams with three to five choices (Clark et al., arXiv 1803.05457).

The paper's prompt is not published; this one is ours, zero-shot.
"""

from pathlib import Path

from tie_core.evaluation.benchmarks.choices import grade, question_of
from tie_core.evaluation.benchmarks.files import Files, Record, items_of, read_lines
from tie_core.evaluation.task import Item, Task, paper_options

FILES = Files(
    "arc_challenge",
    ("ARC-Challenge-Test.jsonl",),
    "AI2's ARC-V1-Feb2018-2, ARC-Challenge/ARC-Challenge-Test.jsonl (allenai.org/data/arc)",
)


def load(folder: Path) -> tuple[Item, ...]:
    path = FILES.find(folder)
    return items_of(path, read_lines(path), _item)


def _item(_: int, record: Record) -> Item:
    question = record.record("question")
    choices = question.records("choices")
    labels = [choice.text("label") for choice in choices]
    key = record.text("answerKey")
    if labels.count(key) != 1:
        raise record.malformed("'answerKey' is not the label of one choice")
    prompt, reference = question_of(
        record, question.text("stem"), [choice.text("text") for choice in choices], labels.index(key)
    )
    return Item(f"arc_challenge/{record.text('id')}", prompt, reference)


TASK = Task("arc_challenge", "ARC-Challenge", paper_options("general"), load, grade, source=FILES.source)
