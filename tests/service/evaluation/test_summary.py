"""The lines that `tie eval` ends with, of a scripted side's answers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from service.evaluation.summary import LEGEND, summary
from tests.evaluation.answers import ScriptedSide, task
from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.evaluation import Evaluation, Wishes
from tie_core.evaluation.records import Record
from tie_core.evaluation.running import Work

BETTER, WORSE, OTHER = (tie_by(score) for score in ("tcc", "top1", "commit"))
ASKED = (POST, BETTER, WORSE, OTHER)


def quietly(name: str, work: Sequence[Work], records: Iterator[Record], at_once: int) -> Iterator[Record]:
    return records


def told(
    folder: Path,
    num: int,
    conditions: tuple[Condition, ...] = ASKED,
    wrong: Mapping[str, Collection[str]] | None = None,
    tasks: Sequence[str] = ("numbers",),
    table: str = "main",
) -> list[str]:
    wishes = Wishes(tasks=tuple(task(num, name) for name in tasks), tables={table: None}, conditions=conditions)
    facts = {"command": "tie eval numbers", "date": "2026-01-02", "machine": "Linux, 2 cores"}
    report = Evaluation(ScriptedSide(wrong=wrong), wishes, folder, folder / "out", facts, quietly).run()
    output = StringIO()
    Console(file=output, width=200).print(*summary(report), sep="\n")
    return output.getvalue().splitlines()


def prompts(*numbers: int) -> list[str]:
    return [f"say {number}" for number in numbers]


def test_what_is_better_and_what_is_worse_than_choosing_is_said_of_ties_rows_alone(tmp_path: Path) -> None:
    """bob alone is always wrong, which is no row of TIE's."""
    wrong = {
        POST.key: prompts(*range(10)),
        WORSE.key: prompts(*range(30)),
        OTHER.key: prompts(*range(2, 10), 50),
    }

    lines = told(tmp_path, 120, wrong=wrong)

    place = lines.index(
        "beside the post-generation ensemble, by McNemar's exact p < 0.05"
        " (the brackets are too narrow where few items differ):"
    )
    assert lines[place + 1 :] == [
        "  better: TIE, tcc",
        "  worse: TIE, top1",
        "  not told apart: TIE, commit",
        LEGEND,
    ]


@pytest.mark.parametrize(
    ("num", "words"),
    [
        (5, ["  few items: among 5 no difference can be told apart"]),
        (20, ["  few items: among 20 no difference below 30 points can be told apart"]),
        (120, []),
    ],
)
def test_few_items_are_said_to_be_few(tmp_path: Path, num: int, words: list[str]) -> None:
    assert [line for line in told(tmp_path, num) if "few items:" in line] == words


@pytest.mark.parametrize(("num_differing", "direction"), [(5, "not told apart"), (6, "better")])
def test_so_many_items_must_differ(tmp_path: Path, num_differing: int, direction: str) -> None:
    lines = told(tmp_path, 20, (POST, BETTER), {POST.key: prompts(*range(num_differing))})

    assert f"  {direction}: TIE, tcc" in lines


def test_without_a_row_of_ties_nothing_stands_beside_the_post_generation_ensemble(tmp_path: Path) -> None:
    lines = told(tmp_path, 4, (POST,))

    assert "beside" not in " ".join(lines)
    assert lines[-1] == LEGEND


@pytest.mark.parametrize(("tasks", "table"), [(("one", "two"), "main"), (("numbers",), "selection")])
def test_behind_any_tables_the_legend_stands_once(tmp_path: Path, tasks: Sequence[str], table: str) -> None:
    lines = told(tmp_path, 4, tasks=tasks, table=table)

    assert (lines.count(LEGEND), lines[-1]) == (1, LEGEND)


def test_without_a_table_of_right_answers_there_is_no_legend(tmp_path: Path) -> None:
    assert LEGEND not in told(tmp_path, 4, table="switches")
