"""All tasks by name: the zoo's own and the public benchmarks."""

from collections.abc import Iterable
from typing import Final

from tie_core.errors import TaskError
from tie_core.evaluation import zoo_task
from tie_core.evaluation.benchmarks import TASKS as BENCHMARKS
from tie_core.evaluation.task import Task

TASKS: Final[dict[str, Task]] = {**{task.name: task for task in zoo_task.TASKS}, **BENCHMARKS}


def find_tasks(names: Iterable[str]) -> tuple[Task, ...]:
    """Each once, in order.

    Raises:
        TaskError: an unknown name.
    """
    names = tuple(dict.fromkeys(names))
    if unknown := [name for name in names if name not in TASKS]:
        raise TaskError(f"there is no task {', '.join(unknown)}: the tasks are {', '.join(TASKS)}")
    return tuple(TASKS[name] for name in names)
