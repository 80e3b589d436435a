"""Learns on validation items how unequal members answer best: which of them, by which score and rule, how weighted.

Whatever does not answer told apart from the best way gives way to what is simpler, down to one member alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Final

from tie_core.calibration import Reliability
from tie_core.errors import TaskError
from tie_core.evaluation.ablations import most_selected
from tie_core.evaluation.choosing import choose
from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.experiment import Experiment
from tie_core.evaluation.records import Record
from tie_core.evaluation.reliability_fit import Trial, fit
from tie_core.evaluation.results import Results
from tie_core.evaluation.sections import Figure, Grid, Right, Section, Share, Words, compared
from tie_core.options import ScoreName
from tie_core.scoring import SCORES

MOST_FOR_ALL_PARTS: Final = 4
"""So many members are tried in all parts of two and more; of more of them each is left out in turn."""
NOTE: Final = """\
Validation items. Chosen is the simplest of those whose answers McNemar's test does not tell apart from the best row's
(p of 0.05 or more): fewer members first, then no extra readings, no calibration, the default final rule. The figure of
the best of many rows is too high by chance; what the chosen one is worth shows on test items."""

Answer = Callable[[Sequence[Condition]], None]
"""Has whatever is missing of some conditions answered."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer, and which items it got right. `simplicity` orders ways, the simplest first."""

    condition: Condition
    right: Right
    num_forwards: float
    simplicity: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """`chosen` of `ways`, over `num_items` validation items; `plain` is the best score of all members as they are."""

    chosen: Way
    plain: Condition
    ways: tuple[Way, ...]
    num_items: int

    def section(self) -> Section:
        ways = sorted(self.ways, key=lambda way: -sum(way.right))
        rows = tuple(
            (Words(_label(way, is_chosen=way is self.chosen)), Share.of_right(way.right), Figure(way.num_forwards))
            for way in ways
        )
        return Section("calibration", "What was chosen among", NOTE, (Grid(("", "right, %", "forwards"), rows),))


def _label(way: Way, *, is_chosen: bool) -> str:
    return way.condition.label + (" (chosen)" if is_chosen else "")


def learn(experiment: Experiment, scores: Sequence[ScoreName], num_items: int, answer: Answer) -> Learned:
    """In stages, each of which asks what the last one leaves open: scores, members, calibrations, final rules.

    Raises:
        TaskError: the ensemble is calibrated already.
    """
    study = experiment.study
    if study.base.get("calibration") is not None:
        raise TaskError(
            "the ensemble is calibrated already: calibrate the configuration that this one was learned from"
        )
    rule = {} if study.base["selection"] == "lowest_tcc" else {"selection": "lowest_tcc"}
    whole = [tie_by(score, **rule) for score in scores]

    def results_of(conditions: Sequence[Condition]) -> Results:
        answer(conditions)
        return experiment.results(num_items)

    plain = choose(results_of((POST, *whole)), whole)
    parts = [_of_part(plain, part) for part in _parts(study.members)] if len(study.members) > 1 else []
    best = choose(results_of(parts), [plain, *parts])
    as_they_are = [_of_part(condition, best.models) for condition in whole]
    results = results_of(as_they_are)
    calibrated = list(_calibrated(results, as_they_are))
    results = results_of(calibrated)
    asked = {condition.key: condition for condition in (*whole, *parts, *as_they_are, *calibrated)}
    ways = [*_alone(results), *(way for each in asked.values() for way in _by_final_rule(results, each))]
    return Learned(simplest_of_the_best(ways), plain, tuple(ways), num_items)


def simplest_of_the_best(ways: Sequence[Way]) -> Way:
    """Of all that cannot be told apart from the one with the most right answers, the simplest."""
    best = max(ways, key=lambda way: (sum(way.right), [-each for each in way.simplicity]))

    def is_as_good(way: Way) -> bool:
        gained = compared(best.right, way.right)
        return gained is None or not gained.is_told_apart

    as_good = [way for way in ways if is_as_good(way)]
    return min(as_good, key=lambda way: (way.simplicity, -sum(way.right), way.num_forwards))


def _parts(members: Sequence[str]) -> Iterator[tuple[str, ...]]:
    sizes = range(2, len(members)) if len(members) <= MOST_FOR_ALL_PARTS else (len(members) - 1,)
    for size in sizes:
        yield from combinations(members, size)


def _of_part(condition: Condition, models: tuple[str, ...]) -> Condition:
    if not models:
        return condition
    return replace(condition, label=f"{condition.label}, of {' and '.join(models)}", models=models)


def _members(results: Results, condition: Condition) -> tuple[str, ...]:
    return condition.models or results.study.members


def _calibrated(results: Results, conditions: Sequence[Condition]) -> Iterator[Condition]:
    """Each with its leaders chosen by what their readings were worth in its own runs."""
    for condition in conditions:
        trials = [Trial(_led(run), run.is_right) for run in results.runs(condition)]
        learned = fit(trials, _members(results, condition))
        if learned is not None:
            yield _with(condition, str(condition.options["score"]), learned, "calibrated")


def _led(run: Record) -> list[tuple[str, float]]:
    return [(ended.leader, reading) for ended in run.rounds if (reading := ended.scores.get(ended.leader)) is not None]


def _with(condition: Condition, rule: str, learned: Mapping[str, Reliability], what: str) -> Condition:
    there = condition.options.get("calibration", {})
    table = {
        name: {**there.get(name, {}), rule: {"intercept": each.intercept, "slope": each.slope}}
        for name, each in learned.items()
    }
    label = f"{condition.label}, {what}"
    return replace(condition, label=label, options={**condition.options, "calibration": table})


def _alone(results: Results) -> Iterator[Way]:
    """Read off the post-generation run."""
    runs = results.runs(POST)
    for name in results.study.members:
        forwards = sum(run.decode_forwards.get(name, 0) for run in runs) / len(runs)
        condition = Condition(f"{name} alone", {"score": "tcc"}, models=(name,))
        yield Way(condition, results.right_alone(name), forwards, _simplicity(condition, 1))


def _by_final_rule(results: Results, condition: Condition) -> Iterator[Way]:
    """One run ended by each rule, since a rule changes nothing before the end."""
    runs, members = results.runs(condition), _members(results, condition)

    def way(condition: Condition, finals: Sequence[str]) -> Way:
        right = [run.members_right.get(final, False) for run, final in zip(runs, finals, strict=True)]
        num_forwards = sum(run.num_forwards for run in runs) / len(runs)
        return Way(condition, right, num_forwards, _simplicity(condition, len(members)))

    best = max(members, key=lambda name: sum(results.right_alone(name)))
    yield way(condition, [run.final_model for run in runs])
    yield way(_ruled(condition, "most_selected"), [most_selected(run) for run in runs])
    yield way(_ruled(condition, "best_model", best_model=best), [best for _ in runs])
    trials = [
        Trial([(name, -count)], is_right)
        for run in runs
        for name, is_right in run.members_right.items()
        if (count := run.tcc.get(name)) is not None
    ]
    if (learned := fit(trials, members)) is not None:
        by_chance = _with(condition, "lowest_tcc", learned, "final answer calibrated")
        yield way(by_chance, [_most_reliable(run, learned) for run in runs])


def _simplicity(condition: Condition, num_members: int) -> tuple[int, ...]:
    options = condition.options
    reads = SCORES[options["score"]].readers != "nobody"
    has_other_rule = options.get("selection", "lowest_tcc") != "lowest_tcc"
    return num_members, int(reads), int("calibration" in options), int(has_other_rule)


def _ruled(condition: Condition, rule: str, **options: Any) -> Condition:
    ruled = {**condition.options, "selection": rule, **options}
    return replace(condition, label=f"{condition.label}, {rule}", options=ruled)


def _most_reliable(run: Record, learned: Mapping[str, Reliability]) -> str:
    chances = {name: learned[name](-count) for name, count in run.tcc.items() if count is not None}
    return max(chances, key=chances.__getitem__, default=run.final_model)
