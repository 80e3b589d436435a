"""Tasks: the paper's canvases, and what is refused before the first request."""

import re
from pathlib import Path

import pytest

from tie_core.errors import TaskError
from tie_core.evaluation.benchmarks import TASKS
from tie_core.evaluation.task import Task, check_ready, paper_options
from tie_core.options import PRESETS, resolve_options
from tie_core.zoo import DEFAULTS


def task(**changes):
    return Task("a", "A", {}, load=lambda folder: (), grade=lambda item, answer: False, **changes)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_listed_by_its_name_and_asks_for_its_canvas_whatever_the_ensemble_defaults_to(name):
    asked = TASKS[name].options

    options = resolve_options(DEFAULTS, asked)

    assert TASKS[name].name == name
    assert options == resolve_options({"interval": DEFAULTS["interval"]}, asked)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_papers_options_leave_the_interval_to_the_preset(preset):
    options = paper_options(preset)

    assert resolve_options(options).gen_length == PRESETS[preset]["gen_length"]
    assert resolve_options(options).interval == PRESETS[preset]["interval"]
    assert "interval" not in options
    assert options["block_size"] == 16


def test_a_task_that_runs_code_is_refused_unless_that_is_allowed():
    with pytest.raises(TaskError, match=r"a is graded by running what the models wrote: allow it with --run-code"):
        check_ready(task(runs_code=True))

    check_ready(task(runs_code=True), run_code=True)
    check_ready(task())


def test_a_task_whose_grader_lacks_something_is_refused():
    def check():
        raise TaskError("no library")

    with pytest.raises(TaskError, match="no library"):
        check_ready(task(check=check))


def test_the_page_of_benchmarks_lists_every_task():
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")

    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (`\w+`, L = \d+) \|", page, re.MULTILINE))

    assert rows == {name: f"`{task.options['task']}`, L = {task.options['gen_length']}" for name, task in TASKS.items()}
