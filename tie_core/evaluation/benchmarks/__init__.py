"""The public benchmarks of the paper, each read from its published files: prompts and graders are ours."""

from typing import Final

from tie_core.evaluation.benchmarks import arc_challenge, countdown, gsm8k, humaneval, math500, mbpp, mmlu, winogrande
from tie_core.evaluation.task import Task

TASKS: Final[dict[str, Task]] = {
    task.name: task
    for task in (
        mmlu.TASK,
        mmlu.TASK_35,
        arc_challenge.TASK,
        winogrande.TASK,
        gsm8k.TASK,
        math500.TASK,
        humaneval.TASK,
        mbpp.TASK,
        mbpp.TASK_SANITIZED,
        countdown.TASK,
    )
}
