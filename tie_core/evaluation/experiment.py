"""One task measured on one side: what is still to be answered for some tables, and the tables once it is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tie_core.errors import TaskError
from tie_core.evaluation.conditions import SCORES, Condition
from tie_core.evaluation.named import TABLES
from tie_core.evaluation.record_file import Key, RecordFile
from tie_core.evaluation.records import Record, graded, options_digest
from tie_core.evaluation.results import Results, Study
from tie_core.evaluation.running import Work, run
from tie_core.evaluation.sections import Section
from tie_core.evaluation.sides import Side
from tie_core.evaluation.splits import items_digest, references_digest
from tie_core.evaluation.task import Item, Task

Sizes = Mapping[str, int]
"""Table -> how many items, the first ones, it is made of."""


class Experiment:
    """`items` are all of a split, whatever part of them is asked for, so that more can be asked for later. `regrades`
    asks the grader anew about every text in the file.

    Raises:
        TaskError: the file holds records of something else.
        OptionsError: options that the ensemble does not allow.
    """

    def __init__(
        self,
        side: Side,
        task: Task,
        items: Sequence[Item],
        path: Path,
        *,
        conditions: Sequence[Condition],
        chosen: Condition | None = None,
        chosen_part: Condition | None = None,
        learned: Condition | None = None,
        drawn: Mapping[str, Any],
        told: Mapping[str, Any],
        regrades: bool = False,
    ) -> None:
        self.items, self._side, self._task = tuple(items), side, task
        self._resolved: dict[tuple[str, tuple[str, ...]], Mapping[str, Any]] = {}
        base = self._resolve({})
        self.study = Study(
            task=task,
            members=tuple(side.members),
            base=base,
            intervals={score: self._resolve({"score": score})["interval"] for score in SCORES},
            resolve=self._resolve,
            conditions=tuple(conditions),
            chosen=chosen,
            chosen_part=chosen_part,
            learned=learned,
        )
        circumstances = {
            "task": task.name,
            "items": {**drawn, "digest": items_digest(items), "of": len(items)},
            "options": dict(base),
            "order": list(side.members),
            **side.circumstances(),
        }
        self._digests: dict[str, str] = {}  # of the options of every condition that was resolved
        self.file = RecordFile(path, circumstances, told, references_digest(items))
        self.records: dict[Key, Record] = self.file.load(to_regrade=regrades)
        if regrades:
            self._regrade()

    def conditions(self, tables: Sequence[str]) -> tuple[Condition, ...]:
        """Those of the tables, each once."""
        needed = (condition for name in tables for condition in TABLES[name].conditions(self.study))
        return tuple({condition.key: condition for condition in needed}.values())

    def check(self, conditions: Sequence[Condition]) -> None:
        """Before the first of many requests.

        Raises:
            OptionsError: a condition with options that the ensemble does not allow.
            TaskError: one that the side cannot be asked for, or that is recorded under other options.
        """
        for condition in conditions:
            if condition.needs_models_here and not self._side.is_here:
                raise TaskError(f"a server cannot be asked for this: {condition.label}; load the models here")
            if not set(condition.models) <= set(self.study.members):
                raise TaskError(f"{condition.label}: the members are {', '.join(self.study.members)}")
            if len(set(condition.models)) < len(condition.models):
                raise TaskError(f"{condition.label}: a member is named twice")
            self._digest(condition)
        for record in self.records.values():
            if self._digests.get(record.condition, record.options) != record.options:
                raise TaskError(
                    f"{self.file.path} holds records of {record.condition!r} under other options than it has now:"
                    " the ensemble's defaults have changed; name another folder by --out"
                )

    def _resolve(self, options: Mapping[str, Any], models: tuple[str, ...] = ()) -> Mapping[str, Any]:
        """All options of a request that asks for these over the task's; each is asked once, since a server is sent a
        request for it."""
        asked = {**self._task.options, **options}
        key = json.dumps(asked, sort_keys=True), models
        if key not in self._resolved:
            self._resolved[key] = self._side.resolve(asked, models)
        return self._resolved[key]

    def _digest(self, condition: Condition) -> str:
        if condition.key not in self._digests:
            self._digests[condition.key] = options_digest(self._resolve(condition.options, condition.models))
        return self._digests[condition.key]

    def missing(self, conditions: Sequence[Condition], num_items: int) -> tuple[Work, ...]:
        """What the file does not have of these conditions and the first so many items."""
        return tuple(
            Work(condition, item, self._digest(condition))
            for condition in conditions
            for item in self.items[:num_items]
            if (condition.key, item.id) not in self.records
        )

    def missing_for(self, sizes: Sizes) -> tuple[Work, ...]:
        """The same of tables, each piece of work once."""
        needed = (work for name, num in sizes.items() for work in self.missing(self.conditions([name]), num))
        return tuple({(work.condition.key, work.item.id): work for work in needed}.values())

    def run(self, work: Sequence[Work]) -> Iterator[Record]:
        """Answer it, one record at a time."""
        for record in run(self._side, self.study.task, work, self.file):
            self.records[record.condition, record.item] = record
            yield record

    def _regrade(self) -> None:
        items = {item.id: item for item in self.items}
        for key, record in self.records.items():
            self.records[key] = graded(record, self.study.task, items[record.item])
        self.file.rewrite(self.records.values())

    def results(self, num_items: int) -> Results:
        return Results(self.study, self.items[:num_items], self.records)

    def sections(self, sizes: Sizes) -> tuple[Section, ...]:
        """The tables, once nothing of them is missing."""
        return tuple(TABLES[name].render(self.results(num_items)) for name, num_items in sizes.items())
