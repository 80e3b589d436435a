"""What the paper shows of runs themselves: how stable right ones are, who leads when, and what a part of one does to
another member."""

from collections.abc import Sequence
from itertools import permutations
from statistics import fmean, median
from typing import Final

from tie_core.evaluation import paper
from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.intervals import LEAST_P, NUM_FLIPS, Tested, sign_flipped
from tie_core.evaluation.leaders import injection
from tie_core.evaluation.results import STAGES, Results, Study, changes_by_run, changes_of, switches_by_stage
from tie_core.evaluation.sections import (
    Cell,
    Difference,
    Figure,
    Grid,
    P,
    Points,
    Rate,
    Right,
    Section,
    Share,
    Words,
    compared,
)

PAPER_MEMBERS: Final = 2
LEAST_RUNS: Final = 10
"""Of right and of wrong runs: from fewer nothing is said of a member."""


def stability_conditions(study: Study) -> tuple[Condition, ...]:
    return (POST,)


def stability(results: Results) -> Section:
    """Table 1."""
    rows: list[tuple[Cell, ...]] = []
    above = []
    for name in results.study.members:
        right, wrong = (changes_of(results.runs(POST), name, is_right=is_right) for is_right in (True, False))
        difference = Difference.of(wrong, right)
        ratio = fmean(wrong) / fmean(right) if wrong and any(right) else None
        rows.append((Words(name), *_counted(right), *_counted(wrong), difference, Figure(ratio, 2)))
        if difference.interval is not None and min(len(right), len(wrong)) >= LEAST_RUNS:
            above.append(difference.interval.low > 0)
    cells = (Words("the paper: LLaDA, MMLU"), *_published(paper.TCC_RIGHT), *_published(paper.TCC_WRONG))
    rows.append((*cells, Figure(None), Figure(paper.TCC_WRONG / paper.TCC_RIGHT, 2)))
    note = (
        "Whole runs without relays (the post-generation run), by whether the member's own answer was right. Counts grow"
        " with the number of steps, so that only the ratio can be held against the paper's. The interval of the"
        " difference is Welch's, of two independent samples by Student's t."
    )
    header = ("token change count", "right runs", "median", "mean", "wrong runs", "median", "mean")
    comparisons = ("wrong minus right", "wrong over right")
    told = (
        f"Wrong runs change their answer more often (the difference's interval is above 0) with {sum(above)} of the"
        f" {len(above)} members that have {LEAST_RUNS} runs of each or more."
    )
    grid = Grid((*header, *comparisons), tuple(rows))
    return Section("stability", "Token changes of right and wrong runs (table 1)", note, (grid,), (told,))


def _counted(counts: Sequence[float]) -> tuple[Cell, ...]:
    middle, mean = (median(counts), fmean(counts)) if counts else (None, None)
    return Figure(len(counts), 0), Figure(middle, 3), Figure(mean, 3)


def _published(mean: float) -> tuple[Cell, ...]:
    return Figure(None), Figure(None), Figure(mean, 2)


def relayed(study: Study) -> tuple[Condition, ...]:
    """The main table's conditions that relay among all members; the paper's own where there is none."""
    return tuple(each for each in study.relayed if not each.models) or (tie_by("tcc"),)


def change_rates(results: Results) -> Section:
    """Table 5."""
    published = paper.CHANGE_RATE.get(results.study.task.name)
    rows: list[tuple[Cell, ...]] = []
    for condition in relayed(results.study):
        rate = Rate(changes_by_run(results.runs(condition)))
        of_paper = published if condition.key == tie_by("tcc").key else None
        rows.append((Words(condition.label), Figure(rate.of, 0), rate, Figure(of_paper)))
    others = ", ".join(f"{task} {rate} %" for task, rate in paper.CHANGE_RATE.items())
    num = len(results.study.members)
    note = (
        "The share of rounds, the first of each run left out, that another member led than the round before. Leaders by"
        f" pure chance change in {_by_chance(num)} of them with the {num} members here, and in"
        f" {_by_chance(PAPER_MEMBERS)} with the paper's {PAPER_MEMBERS}. The paper's rates, with tcc: {others}."
    )
    header = ("", "rounds", "changed, %", "paper, this task, %")
    return Section("change_rate", "Model change rate (table 5)", note, (Grid(header, tuple(rows)),))


def _by_chance(num_members: int) -> str:
    return f"{100 * (num_members - 1) / num_members:.0f} %"


def switches(results: Results) -> Section:
    """Figure 3."""
    rows: list[tuple[Cell, ...]] = []
    told_apart, not_told_apart = [], []
    for condition in relayed(results.study):
        by_run = [switches_by_stage([run]) for run in results.runs(condition)]
        found = _held_against(by_run)
        total = sum(switched for stages in by_run for switched, _ in stages)
        cells: tuple[Cell, ...] = (Words(condition.label), Figure(total, 0), *map(Rate, zip(*by_run, strict=True)))
        rows.append((*cells, Figure(None if found is None else 100 * found.difference, is_signed=True), P(found)))
        if found is not None and found.is_told_apart:
            told_apart.append(f"{condition.label} ({'the first' if found.difference > 0 else 'the last'})")
        else:
            not_told_apart.append(condition.label)
    header = ("", "changes", *(f"rate in the {stage}, %" for stage in STAGES))
    header += ("first minus last by run, points", "p")
    note = (
        "A run's first round cannot be a change, and rates leave it out. The first third is held against the last one"
        " by run: the mean of its rate minus the last one's, over the runs that have both. p is of a test that flips"
        f" the runs' signs {NUM_FLIPS:,} times at random. The paper says that most changes come early, which is of"
        " shares of all changes; those depend on how many rounds of a third can be a change (of five rounds"
        " one, two and one)."
    )
    told = []
    if told_apart:
        told.append(f"Thirds in which the leader changes more often (p < {LEAST_P}): {', '.join(told_apart)}.")
    if not_told_apart:
        told.append(f"First and last third are not told apart: {', '.join(not_told_apart)}.")
    return Section("switches", "When the leader changes (figure 3)", note, (Grid(header, tuple(rows)),), tuple(told))


def _held_against(by_run: Sequence[tuple[tuple[int, int], ...]]) -> Tested | None:
    """The first third's rate minus the last one's, over the runs that have a round in both that could be a change."""
    thirds = [(stages[0], stages[-1]) for stages in by_run]
    return sign_flipped([first[0] / first[1] - last[0] / last[1] for first, last in thirds if first[1] and last[1]])


def _injected(source: str, target: str) -> Condition:
    label = f"{source} leads the first third of the reasoning, then {target}"
    return Condition(label, {"score": "tcc"}, leaders=injection(source, target))


def injection_conditions(study: Study) -> tuple[Condition, ...]:
    return (POST, *(_injected(source, target) for source, target in permutations(study.members, 2)))


WANTED: Final = {
    "source right, target wrong": (True, False),
    "both wrong": (False, False),
    "source wrong, target right": (False, True),
}


def injections(results: Results) -> Section:
    """Table 2."""
    rows: list[tuple[Cell, ...]] = []
    effects: list[tuple[Cell, ...]] = []
    corrected, kept = [], []
    for source, target in permutations(results.study.members, 2):
        right, alone = results.right_alone(source), results.right_alone(target)
        after = results.right_alone(target, _injected(source, target))
        label = f"{target} after {source}"
        pairs = list(zip(right, alone, strict=True))
        shares = [_among(after, [pair == wanted for pair in pairs]) for wanted in WANTED.values()]
        rows.append((Words(label), *(cell for share in shares for cell in (Figure(share.of, 0), share))))
        corrected.append(shares[0])
        kept.append(shares[2])
        gained = compared(after, alone)
        effects.append((Words(f"{label}, over {target} alone"), Points(gained), P(gained)))
    note = (
        "One member, the source, leads the first third of the reasoning's rounds, one round at least, and another one,"
        " the target, all that follow. The target's own answer is read; columns are by who is right alone."
    )
    header = ("target right afterwards, %", *(word for column in WANTED for word in ("items", column)))
    told = (
        f"Targets that are wrong alone, after a source that is right alone: {_how_many_right(corrected)}.",
        f"Targets that are right alone, after a source that is wrong alone: {_how_many_right(kept)}.",
    )
    grids = (Grid(header, tuple(rows)), Grid(("effect", "points", "p"), tuple(effects)))
    return Section("injection", "The first third of another's reasoning (table 2)", note, grids, told)


def _among(right: Right, is_inside: Sequence[bool]) -> Share:
    return Share.of_right([one for one, is_in in zip(right, is_inside, strict=True) if is_in])


def _how_many_right(shares: Sequence[Share]) -> str:
    values = sorted({f"{100 * share.value:.0f}" for share in shares if share.of}, key=int)
    if not values:
        return "there are none"
    return f"{' to '.join(dict.fromkeys((values[0], values[-1])))} % right"
