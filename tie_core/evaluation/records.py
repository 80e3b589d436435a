"""What one item under one condition came to: everything that the tables need, as one line of JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from tie_core.evaluation.task import Item, Task
from tie_core.events import Completed, RoundEnded


@dataclass(frozen=True, slots=True)
class LedRound:
    """A round that ended in a relay: who led it, and the members' scores (None: no evidence)."""

    leader: str
    scores: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Record:
    """One answer, by member name where members differ.

    `candidates` are the members' own texts and `members_right` judges them; `tcc` is that of a member's whole run
    (None: no evidence). `seconds` run from the first step to the answer, the turns of other requests included. `error`
    says why there is no answer: the item then counts as wrong. `options` is the digest of all options in force.
    """

    condition: str
    item: str
    is_right: bool
    options: str = ""
    answer: str = ""
    final_model: str = ""
    candidates: Mapping[str, str] = field(default_factory=dict)
    members_right: Mapping[str, bool] = field(default_factory=dict)
    tcc: Mapping[str, float | None] = field(default_factory=dict)
    rounds: tuple[LedRound, ...] = ()
    switches: int = 0
    wins: Mapping[str, int] = field(default_factory=dict)
    decode_forwards: Mapping[str, int] = field(default_factory=dict)
    score_forwards: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    is_degraded: bool = False
    approximations: tuple[str, ...] = ()
    error: str = ""

    @property
    def leaders(self) -> tuple[str, ...]:
        return tuple(ended.leader for ended in self.rounds)

    @property
    def num_forwards(self) -> int:
        return sum(self.decode_forwards.values()) + sum(self.score_forwards.values())

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Record":
        """The record of a line; TypeError or KeyError for another line."""
        rounds = tuple(LedRound(**told) for told in data["rounds"])
        return cls(**{**data, "rounds": rounds, "approximations": tuple(data["approximations"])})


def options_digest(options: Mapping[str, Any]) -> str:
    """The first 12 hexadecimal digits of a SHA-256 over resolved options."""
    return sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:12]


def record_of(
    condition: str, options: str, task: Task, item: Item, rounds: Sequence[RoundEnded], completed: Completed
) -> Record:
    info, timings = completed.tie, completed.timings
    answered = Record(
        condition=condition,
        item=item.id,
        is_right=False,
        options=options,
        answer=completed.answer,
        final_model=info.final_model,
        candidates=info.candidates,
        tcc=info.scores,
        rounds=tuple(
            LedRound(ended.leader, {name: score.value for name, score in ended.scores.items()}) for ended in rounds
        ),
        switches=info.switches,
        wins=info.wins,
        decode_forwards={name: nfe.decode for name, nfe in info.nfe.items()},
        score_forwards={name: nfe.score for name, nfe in info.nfe.items()},
        seconds=(timings.total_ms - timings.queue_ms) / 1000,
        is_degraded=info.degraded,
        approximations=info.approximations,
    )
    return graded(answered, task, item)


def graded(record: Record, task: Task, item: Item) -> Record:
    """The record with the grader's verdicts on its texts, each text judged once: grading may run code."""
    if record.error:
        return record
    texts = {record.answer, *record.candidates.values()}
    is_right = {text: task.grade(item, text) for text in sorted(texts)}
    members_right = {name: is_right[text] for name, text in record.candidates.items()}
    return replace(record, is_right=is_right[record.answer], members_right=members_right)


def failed_record(condition: str, options: str, item: Item, why: str) -> Record:
    return Record(condition, item.id, is_right=False, options=options, error=why)
