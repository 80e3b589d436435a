"""The page on reproducing the paper: its hours follow from the cost model, its rows are the paper's, and so are the
conditions that its commands ask for. The pair's memory, here and in docs/models.md, is that of the server's plan."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Final

import pytest
import torch
from transformers import LlamaConfig

from bench.cost_model import DEVICES, SHAPES, Plan, Shape, request_seconds
from tests.docs.examples import ROOT, examples_of
from tie_core.engine.devices import Device
from tie_core.engine.placement import Wish, make_plan, readable
from tie_core.evaluation import paper
from tie_core.evaluation.conditions import NEVER, POST, SCORES, parse_conditions, tie_by
from tie_core.evaluation.named import TABLES
from tie_core.evaluation.results import Study
from tie_core.evaluation.tasks import find_tasks
from tie_core.models.footprint import footprint_of
from tie_core.options import resolve_options

PAGE: Final = "docs/reproduce-the-paper.md"
TASKS: Final = ("MMLU", "ARC-Challenge", "WinoGrande", "GSM8K", "MATH500", "HumanEval", "MBPP, sanitized", "Countdown")
ANSWERS: Final = (16, 16, 16, 32, 32, 256, 256, 32)
"""Rows of the answer that the head reads in a step: for code half of all, on average."""
INTERVALS: Final = (32, 32, 32, 16, 16, 32, 32, 32)
"""Of tcc; the other scores have 16."""
ASKED: Final = (POST, *map(tie_by, ("tcc", "top1", "entropy", "margin")))
BY_NAME: Final = {device.name: device for device in DEVICES}


def rows(num_columns: int, page: str = PAGE) -> list[list[str]]:
    """The cells of the page's tables of so many columns."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
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


def wish(shape: Shape) -> Wish:
    """A model of that shape in bf16 on the one GPU."""
    config = LlamaConfig(
        hidden_size=shape.width,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        intermediate_size=shape.mlp_width,
        vocab_size=shape.num_rows,
    )
    return Wish("model", "cuda:0", "bfloat16", footprint_of(config, torch.bfloat16, shape.weight_bytes))


def gpu(gigabytes: int) -> Device:
    return Device("cuda:0", "a card", gigabytes * 10**9, gigabytes * 10**9)


LLADA, DREAM = map(wish, SHAPES.values())


@pytest.mark.parametrize(("page", "num_columns"), [(PAGE, 4), ("docs/models.md", 3)])
@pytest.mark.parametrize(
    ("label", "wishes"), [("LLaDA-1.5", [LLADA]), ("Dream-7B", [DREAM]), ("both on one GPU", [LLADA, DREAM])]
)
def test_the_memory_is_that_of_the_plan(page: str, num_columns: int, label: str, wishes: list[Wish]) -> None:
    placements = make_plan(wishes, [gpu(80)]).placements
    (written,) = [row[:2] for name, *row in rows(num_columns, page) if name == label]

    assert written == [
        readable(sum(placement.weights_bytes for placement in placements)),
        readable(sum(placement.needed_bytes for placement in placements)),
    ]


@pytest.mark.parametrize(
    ("gigabytes", "wishes", "fits"),
    [(24, [LLADA], True), (24, [DREAM], True), (24, [LLADA, DREAM], False), (40, [LLADA, DREAM], True)],
)
def test_cards_hold_what_the_page_on_models_says(gigabytes: int, wishes: list[Wish], fits: bool) -> None:
    assert (make_plan(wishes, [gpu(gigabytes)]).problems == ()) == fits


@pytest.mark.parametrize("who", [*paper.OTHERS, "tcc", "top1", "entropy", "margin"])
def test_the_expected_rows_are_the_papers(who: str) -> None:
    label = who if who in paper.OTHERS else f"TIE, {who}"
    (written,) = [row for name, *row in rows(len(paper.TASKS) + 1) if name == label]

    assert [float(cell) for cell in written] == [paper.ACCURACY[task][who] for task in paper.TASKS]


def commands_of_page() -> list[list[str]]:
    blocks = [example for example in examples_of(PAGE) if example.language == "sh"]
    return [command.split() for block in blocks for command in block.commands]


def test_the_commands_ask_for_the_papers_conditions_and_each_has_a_page() -> None:
    commands = commands_of_page()

    assert [parse_conditions(words[words.index("--conditions") + 1]) for words in commands] == [ASKED] * len(commands)
    pages = [words[words.index("--page") + 1] for words in commands]
    assert len(set(pages)) == len(commands) > 2


def test_behind_the_main_table_the_ablations_add_twelve_conditions() -> None:
    (task,) = find_tasks(["gsm8k"])

    def resolve(options: Mapping[str, Any]) -> dict[str, Any]:
        return asdict(resolve_options({**task.options, **options}))

    intervals = {score: resolve({"score": score})["interval"] for score in SCORES}
    study = Study(task, ("llada", "dream"), resolve({}), intervals, resolve, ASKED)
    tables = {word for words in commands_of_page() for before, word in pairwise(words) if before == "--table"}
    main = {condition.key for condition in TABLES["main"].conditions(study)}
    added = {name: {each.key for each in TABLES[name].conditions(study)} - main for name in tables}

    assert {name for name, keys in added.items() if not keys} == {"stability", "switches", "change_rate", "selection"}
    assert len(set().union(*added.values())) == 12 == len(list(ablations()))
