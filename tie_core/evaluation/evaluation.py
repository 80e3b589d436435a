"""An evaluation: tasks and tables that somebody wishes for, answered by one side, into a report."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tie_core.errors import TaskError
from tie_core.evaluation.calibrating import Learned, learn
from tie_core.evaluation.choosing import Choice
from tie_core.evaluation.conditions import CHOSEN, POST, RANDOM, SCORES, Condition, standard, tie_by
from tie_core.evaluation.experiment import Experiment
from tie_core.evaluation.named import TABLES
from tie_core.evaluation.plots import check_matplotlib
from tie_core.evaluation.record_file import held
from tie_core.evaluation.records import Record
from tie_core.evaluation.report import Chapter, Report
from tie_core.evaluation.running import Work
from tie_core.evaluation.sides import Side
from tie_core.evaluation.splits import SPLITS, Split, load_items
from tie_core.evaluation.task import Task, check_ready
from tie_core.options import ScoreName

Track = Callable[[str, Sequence[Work], Iterator[Record], int], Iterable[Record]]
"""Told what runs, all its work, its records as they come, and how many run at once; passes the records on and shows how
far it is."""
FEWEST_ITEMS = 2  # an interval of differences needs two


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is measured. `tables` have a number of items each (None: `num_items`, and if that is None all). Without
    `conditions` the main table has all scores. `num_to_choose` validation items choose TIE's best condition first, and
    the best part of the members: among those of `among`, or else of the conditions.
    `num_to_calibrate` of them say how unequal members answer best, by the scores of the conditions.
    `regrades` has the grader judge anew what is recorded already."""

    tasks: tuple[Task, ...]
    tables: Mapping[str, int | None]
    conditions: tuple[Condition, ...] = ()
    among: tuple[Condition, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    num_items: int | None = None
    split: Split = "all"
    seed: int = 0
    num_to_choose: int | None = None
    num_to_calibrate: int | None = None
    draws_plots: bool = False
    runs_code: bool = False
    regrades: bool = False

    def check(self) -> None:
        """Whatever can be wrong before models are loaded.

        Raises:
            TaskError: it is.
        """
        for task in self.tasks:
            check_ready(task, run_code=self.runs_code)
        if self.split not in SPLITS:
            raise TaskError(f"there is no split {self.split}: the splits are {', '.join(SPLITS)}")
        if CHOSEN in self.conditions and self.num_to_choose is None:
            raise TaskError("the condition `chosen` needs --choose, the number of validation items to choose on")
        if self.among and self.num_to_choose is None:
            raise TaskError("--among says what --choose chooses among: give --choose as well")
        if "unequal" in self.tables and self.num_to_calibrate is None:
            raise TaskError("the table `unequal` needs --calibrate, the number of validation items to learn from")
        if None not in (self.num_to_choose, self.num_to_calibrate):
            raise TaskError("a calibration chooses a score as well: give --calibrate or --choose")
        if self.measured_split == "test" and self.split == "validation":
            raise TaskError("what is chosen on validation items is measured on others: leave out --split validation")
        if self.draws_plots:
            check_matplotlib()

    @property
    def measured_split(self) -> Split:
        """Never the items that something was chosen on."""
        is_any_left = self.num_to_choose is None and self.num_to_calibrate is None
        return self.split if is_any_left else "test"

    @property
    def candidates(self) -> tuple[Condition, ...]:
        """What is chosen among: what was named for that, or the conditions asked for, or else TIE with each score."""
        asked = self.among or self.conditions
        named = tuple(condition for condition in asked if condition not in (POST, RANDOM, CHOSEN))
        return named or tuple(map(tie_by, SCORES))

    @property
    def scores(self) -> tuple[ScoreName, ...]:
        """Those that a calibration tries: of the conditions asked for, or all."""
        return tuple(dict.fromkeys(each.options["score"] for each in self.candidates if "score" in each.options))


def parse_tables(words: Iterable[str]) -> dict[str, int | None]:
    """`main` or `main:1000`, the number being that of its items.

    Raises:
        TaskError: an unknown table, or no number.
    """
    tables: dict[str, int | None] = {}
    for word in words:
        name, colon, number = word.partition(":")
        if name not in TABLES:
            raise TaskError(f"there is no table {name}: the tables are {', '.join(TABLES)}")
        if colon and not (number.isascii() and number.isdigit() and int(number) >= FEWEST_ITEMS):
            raise TaskError(f"{word}: behind the colon is the number of items, at least {FEWEST_ITEMS}")
        tables[name] = int(number) if colon else None
    return {name: tables[name] for name in TABLES if name in tables}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`data` is the folder of the tasks' files, `out` that of the records; `told` is noted in them."""

    side: Side
    wishes: Wishes
    data: Path
    out: Path
    told: Mapping[str, Any]
    track: Track

    def run(self) -> Report:
        """Task by task. What is in the folder already is not answered again.

        Raises:
            TieError: something stands in the way, or a request failed. What was answered until then is kept.
        """
        with held(self.out):
            return Report(tuple(map(self._chapter, self.wishes.tasks)), self.told, self.wishes.draws_plots)

    def _chapter(self, task: Task) -> Chapter:
        wishes = self.wishes
        task = replace(task, options={**task.options, **wishes.options})
        choice = self._choose(task, wishes.num_to_choose) if wishes.num_to_choose is not None else None
        chosen, part = (choice.best, choice.best_part) if choice is not None else (None, None)
        learned = self._learn(task, wishes.num_to_calibrate) if wishes.num_to_calibrate is not None else None
        conditions = wishes.conditions or standard()
        if chosen is not None:
            found = (chosen,) if part is None else (chosen, part)
            conditions = (*(condition for condition in conditions if condition not in (CHOSEN, *found)), *found)
        if learned is not None:
            chosen, remedy = learned.plain, learned.chosen.condition
            conditions = (*conditions, remedy)
        experiment = self._experiment(task, wishes.measured_split, conditions, chosen, part, learned)
        most = len(experiment.items)
        sizes = {name: min(most, num or wishes.num_items or most) for name, num in wishes.tables.items()}
        experiment.check(experiment.conditions(list(sizes)))
        self._answer(task.name, experiment, experiment.missing_for(sizes))
        return Chapter(experiment, sizes, experiment.sections(sizes), learned, choice)

    def _choose(self, task: Task, num_items: int) -> Choice:
        """On validation items, before any other item is asked."""
        candidates = self.wishes.candidates
        experiment = self._experiment(task, "validation", candidates)
        num_items = min(len(experiment.items), num_items)
        experiment.check(candidates)
        self._answer(f"{task.name}, validation", experiment, experiment.missing(candidates, num_items))
        return Choice.of(experiment.results(num_items), candidates)

    def _learn(self, task: Task, num_items: int) -> Learned:
        """On validation items, before any other item is asked: how these members answer best."""
        experiment = self._experiment(task, "validation", self.wishes.candidates)
        num_items = min(len(experiment.items), num_items)

        def answer(conditions: Sequence[Condition]) -> None:
            experiment.check(conditions)
            self._answer(f"{task.name}, validation", experiment, experiment.missing(conditions, num_items))

        return learn(experiment, self.wishes.scores, num_items, answer)

    def _experiment(
        self,
        task: Task,
        split: Split,
        conditions: Sequence[Condition],
        chosen: Condition | None = None,
        chosen_part: Condition | None = None,
        learned: Learned | None = None,
    ) -> Experiment:
        seed = self.wishes.seed
        items = load_items(task, self.data, split, seed)
        if len(items) < FEWEST_ITEMS:
            raise TaskError(f"{task.name} has {len(items)} {split} items, and an interval needs {FEWEST_ITEMS}")
        return Experiment(
            self.side,
            task,
            items,
            self.out / f"{task.name}.{split}.jsonl",
            conditions=conditions,
            chosen=chosen,
            chosen_part=chosen_part,
            learned=None if learned is None else learned.chosen.condition,
            drawn={"split": split, "seed": seed},
            told=self.told,
            regrades=self.wishes.regrades,
        )

    def _answer(self, name: str, experiment: Experiment, work: Sequence[Work]) -> None:
        for _ in self.track(name, work, experiment.run(work), self.side.at_once):
            pass
