"""MMLU: multiple-choice questions of 57 subjects (Hendrycks et al., arXiv 2009.03300), and 35 of its subjects.

The paper's prompt is not published; this one is ours, zero-shot. Nor is its list of 35 subjects (MMLU*). `mmlu35` is
OUR choice: it leaves out the 18 subjects that MMLU's authors file under STEM and the four of professional exams. Its
figures cannot be held against the paper's MMLU*.
"""

from functools import partial
from pathlib import Path
from typing import Final

from tie_core.errors import TaskError
from tie_core.evaluation.benchmarks.choices import grade, question_of
from tie_core.evaluation.benchmarks.files import Record, items_of, read_table
from tie_core.evaluation.task import Item, Task, paper_options

SOURCE: Final = "hendrycks/test on GitHub, data.tar, its folder test/"
COLUMNS: Final = ("question", "A", "B", "C", "D", "answer")
STEM: Final = (
    "abstract_algebra",
    "astronomy",
    "college_biology",
    "college_chemistry",
    "college_computer_science",
    "college_mathematics",
    "college_physics",
    "computer_security",
    "conceptual_physics",
    "electrical_engineering",
    "elementary_mathematics",
    "high_school_biology",
    "high_school_chemistry",
    "high_school_computer_science",
    "high_school_mathematics",
    "high_school_physics",
    "high_school_statistics",
    "machine_learning",
)
PROFESSIONAL: Final = (
    "professional_accounting",
    "professional_law",
    "professional_medicine",
    "professional_psychology",
)
SUBJECTS_35: Final = (
    "anatomy",
    "business_ethics",
    "clinical_knowledge",
    "college_medicine",
    "econometrics",
    "formal_logic",
    "global_facts",
    "high_school_european_history",
    "high_school_geography",
    "high_school_government_and_politics",
    "high_school_macroeconomics",
    "high_school_microeconomics",
    "high_school_psychology",
    "high_school_us_history",
    "high_school_world_history",
    "human_aging",
    "human_sexuality",
    "international_law",
    "jurisprudence",
    "logical_fallacies",
    "management",
    "marketing",
    "medical_genetics",
    "miscellaneous",
    "moral_disputes",
    "moral_scenarios",
    "nutrition",
    "philosophy",
    "prehistory",
    "public_relations",
    "security_studies",
    "sociology",
    "us_foreign_policy",
    "virology",
    "world_religions",
)
"""Our 35 of the 57: all but `STEM` and `PROFESSIONAL`. The paper's own list is not known."""
SUBJECTS: Final = tuple(sorted((*STEM, *PROFESSIONAL, *SUBJECTS_35)))


def load(folder: Path, subjects: tuple[str, ...] = SUBJECTS) -> tuple[Item, ...]:
    """The test questions of the subjects, from `data/test/`, `test/` or no folder of their own, in `mmlu/` below the
    folder or in the folder itself.

    Raises:
        TaskError: a subject has no file, a row is malformed.
    """
    folders = [parent / inner for parent in (folder / "mmlu", folder) for inner in ("data/test", "test", "")]
    found = max(folders, key=lambda place: sum(_file(place, subject).is_file() for subject in subjects))
    if missing := [subject for subject in subjects if not _file(found, subject).is_file()]:
        raise TaskError(
            f"mmlu needs the files of {len(subjects)} subjects in one of {', '.join(map(str, folders))}, and"
            f" {', '.join(_file(found, subject).name for subject in missing)} are not there: get them from {SOURCE}"
        )
    return tuple(item for subject in subjects for item in _load_subject(_file(found, subject), subject))


def _load_subject(path: Path, subject: str) -> tuple[Item, ...]:
    def item_of(number: int, record: Record) -> Item:
        right = record.text("answer").strip()
        if right not in COLUMNS[1:5]:
            raise record.malformed("the last column is not A, B, C or D")
        choices = [record.fields[column] for column in COLUMNS[1:5]]
        prompt, reference = question_of(record, record.text("question"), choices, COLUMNS.index(right) - 1)
        return Item(f"mmlu/{subject}/{number}", prompt, reference, subject)

    return items_of(path, read_table(path, COLUMNS), item_of)


def _file(folder: Path, subject: str) -> Path:
    return folder / f"{subject}_test.csv"


TASK = Task("mmlu", "MMLU", paper_options("general"), load, grade, source=SOURCE)
TASK_35 = Task(
    "mmlu35", "MMLU, 35 subjects", paper_options("general"), partial(load, subjects=SUBJECTS_35), grade, source=SOURCE
)
