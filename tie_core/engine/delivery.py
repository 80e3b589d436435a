"""What a worker hands to the conductor: steps of rows whose requests want every one, and what became of a row."""

from dataclasses import dataclass
from typing import Any

from tie_core.denoising import Step
from tie_core.engine.backlog import Row


@dataclass(frozen=True, slots=True)
class StepDone:
    """A row made a step."""

    request_id: str
    member: int
    step: Step


@dataclass(frozen=True, slots=True)
class WorkDone:
    """A row is finished: its trajectory, its prediction, or `Lost`."""

    request_id: str
    index: int
    result: Any


def ended(row: Row, result: Any) -> WorkDone:
    return WorkDone(row.request_id, row.index, result)
