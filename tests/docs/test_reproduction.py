"""The page on reproducing the paper: its hours follow from the cost model, its rows are the paper's, and so are the
conditions that its commands ask for."""

from collections.abc import Iterator
from typing import Final

import pytest

from bench.cost_model import DEVICES, SHAPES, Plan, request_seconds
from tests.docs.examples import ROOT, examples_of
from tie_core.evaluation import paper
from tie_core.evaluation.conditions import POST, parse_conditions, tie_by

PAGE: Final = "docs/reproduce-the-paper.md"
TASKS: Final = ("MMLU", "ARC-Challenge", "WinoGrande", "GSM8K", "MATH500", "HumanEval", "MBPP, sanitized", "Countdown")
ANSWERS: Final = (16, 16, 16, 32, 32, 256, 256, 32)
"""Rows of the answer that the head reads in a step: for code half of all, on average."""
INTERVALS: Final = (32, 32, 32, 16, 16, 32, 32, 32)
"""Of tcc; the other scores have 16."""
NEVER: Final = 1_000_000
BY_NAME: Final = {device.name: device for device in DEVICES}


def rows(num_columns: int) -> list[list[str]]:
    """The cells of the page's tables of so many columns."""
    lines = (ROOT / PAGE).read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells if len(row) == num_columns]


def hours(plan: Plan, num_items: int) -> tuple[float, ...]:
    """On two H100, on one, and on two L40S."""
    h100, l40s = (
        [request_seconds(shape, plan, BY_NAME[name], 2, at_once=32) / 32 for shape in SHAPES.values()]
        for name in ("H100 SXM", "L40S")
    )
    return tuple(num_items * seconds / 3600 for seconds in (max(h100), sum(h100), max(l40s)))


def plans(generated: int, answer: int, interval: int) -> Iterator[Plan]:
    """Of the five conditions."""
    for n in (NEVER, interval):
        yield Plan(128, generated, answer, 16, n)
    for _ in ("top1", "entropy", "margin"):
        yield Plan(128, generated, answer, 16, 16, is_cross_model=True)


def ablations() -> Iterator[Plan]:
    for n in (8, 32, *[16] * 4):  # the last: not normalised, own reading, two injections
        yield Plan(128, 256, 32, 16, n)
    for per_step, interval in ((2, 8), (3, 16)):
        for n, is_cross_model in ((NEVER, False), (interval, False), (interval, True)):
            yield Plan(128, 256, 32, 16, n, per_step, is_cross_model=is_cross_model)


def summed(parts: list[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(map(sum, zip(*parts, strict=True)))


def test_the_hours_follow_from_the_cost_model() -> None:
    told = {task: row for task, *row in rows(7)}
    totals: list[tuple[float, ...]] = []
    for task, answer, interval in zip(TASKS, ANSWERS, INTERVALS, strict=True):
        items, generated, seconds, *written = told[task]
        num_items = int(items.replace(",", ""))
        totals.append(summed([hours(plan, num_items) for plan in plans(int(generated), answer, interval)]))
        alone = hours(next(plans(int(generated), answer, interval)), 3600)[0]
        assert [seconds, *written] == [f"{figure:.1f}" for figure in (alone, *totals[-1])], task
    added = summed([hours(plan, 1_319) for plan in ablations()])
    main = summed(totals)
    expected = {"main table": main, "ablations, GSM8K": added, "all": summed([main, added])}

    assert {name: told[name][-3:] for name in expected} == {
        name: [f"{figure:.1f}" for figure in figures] for name, figures in expected.items()
    }


@pytest.mark.parametrize("who", [*paper.OTHERS, "tcc", "top1", "entropy", "margin"])
def test_the_expected_rows_are_the_papers(who: str) -> None:
    label = who if who in paper.OTHERS else f"TIE, {who}"
    (written,) = [row for name, *row in rows(len(paper.TASKS) + 1) if name == label]

    assert [float(cell) for cell in written] == [paper.ACCURACY[task][who] for task in paper.TASKS]


def test_the_commands_ask_for_the_papers_conditions_and_each_has_a_page() -> None:
    asked = (POST, *map(tie_by, ("tcc", "top1", "entropy", "margin")))
    commands = [
        command.split() for example in examples_of(PAGE) if example.language == "sh" for command in example.commands
    ]

    assert [parse_conditions(words[words.index("--conditions") + 1]) for words in commands] == [asked] * len(commands)
    pages = [words[words.index("--page") + 1] for words in commands]
    assert len(set(pages)) == len(commands) > 2
