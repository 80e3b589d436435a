"""The public benchmarks of the paper, each read from its published files: prompts and graders are ours."""

from typing import Final

from tie_core.evaluation.task import Task

TASKS: Final[dict[str, Task]] = {}
