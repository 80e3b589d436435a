"""What the paper shows of runs themselves: how stable right ones are, who leads when, and what a part of one does to
another member."""

from collections.abc import Sequence
from itertools import permutations
from typing import Final

from tie_core.evaluation import paper
from tie_core.evaluation.conditions import POST, SCORES, Condition, tie_by
from tie_core.evaluation.leaders import injection
from tie_core.evaluation.results import STAGES, Results, Study, changes_by_run, changes_of, switches_by_stage
from tie_core.evaluation.sections import EFFECT_HEADER, Cell, Figure, Grid, Rate, Right, Section, Share, Words, effect

RELAYED: Final = tuple(map(tie_by, SCORES))


def stability_conditions(study: Study) -> tuple[Condition, ...]:
    return (POST,)


def stability(results: Results) -> Section:
    """Table 1."""
    rows: list[tuple[Cell, ...]] = []
    agreeing = []
    for name in results.study.members:
        right, wrong = (changes_of(results.runs(POST), name, is_right=is_right) for is_right in (True, False))
        ratio = wrong.mean / right.mean if right.mean and wrong.mean is not None else None
        cells: tuple[Cell, ...] = (Words(name), Figure(right.num, 0), Figure(right.mean, 3), Figure(wrong.num, 0))
        rows.append((*cells, Figure(wrong.mean, 3), Figure(ratio, 2)))
        if right.mean is not None and wrong.mean is not None:
            agreeing.append(wrong.mean > right.mean)
    published = paper.TCC_WRONG / paper.TCC_RIGHT
    cells = (Words("the paper: LLaDA, MMLU"), Figure(None), Figure(paper.TCC_RIGHT, 3), Figure(None))
    rows.append((*cells, Figure(paper.TCC_WRONG, 3), Figure(published, 2)))
    note = "Whole runs without relays (the post-generation run), by whether the member's own answer was right."
    header = ("token change count", "right runs", "mean", "wrong runs", "mean", "wrong over right")
    told = f"Wrong runs change their answer more often with {sum(agreeing)} of {len(agreeing)} members."
    return Section(
        "stability", "Token changes of right and wrong runs (table 1)", note, (Grid(header, tuple(rows)),), (told,)
    )


def change_rate_conditions(study: Study) -> tuple[Condition, ...]:
    return RELAYED


def change_rates(results: Results) -> Section:
    """Table 5."""
    published = paper.CHANGE_RATE.get(results.study.task.name)
    rows: list[tuple[Cell, ...]] = []
    for condition in RELAYED:
        rate = Rate(changes_by_run(results.runs(condition)))
        of_paper = published if condition.options["score"] == "tcc" else None
        rows.append((Words(condition.label), Figure(rate.of, 0), rate, Figure(of_paper)))
    others = ", ".join(f"{task} {rate} %" for task, rate in paper.CHANGE_RATE.items())
    note = (
        "The share of rounds, the first of each run left out, that another member led than the round before."
        f" The paper's, with tcc: {others}."
    )
    header = ("", "rounds", "changed, %", "paper, this task, %")
    return Section("change_rate", "Model change rate (table 5)", note, (Grid(header, tuple(rows)),))


def switch_conditions(study: Study) -> tuple[Condition, ...]:
    return RELAYED


def switches(results: Results) -> Section:
    """Figure 3."""
    rows: list[tuple[Cell, ...]] = []
    told = []
    for condition in RELAYED:
        stages = switches_by_stage(results.runs(condition))
        total = sum(switched for switched, _ in stages)
        shares = (Figure(100 * switched / total if total else None) for switched, _ in stages)
        rates = map(Rate, zip(*(switches_by_stage([run]) for run in results.runs(condition)), strict=True))
        rows.append((Words(condition.label), Figure(total, 0), *shares, *rates))
        if total:
            is_early = stages[0][0] / max(1, stages[0][1]) > stages[-1][0] / max(1, stages[-1][1])
            told.append(
                f"{condition.label}: a round of the first third {'is' if is_early else 'is not'} more often a"
                " change of the leader than one of the last third; in the paper most changes come early."
            )
    header = (
        "",
        "changes",
        *(f"of these in the {stage}, %" for stage in STAGES),
        *(f"rate in the {stage}, %" for stage in STAGES),
    )
    note = "When the leader changes. A run's first round cannot be a change; rates leave it out."
    return Section("switches", "When the leader changes (figure 3)", note, (Grid(header, tuple(rows)),), tuple(told))


def _injected(source: str, target: str) -> Condition:
    return Condition(
        f"{source} leads the first third, then {target}", {"score": "tcc"}, leaders=injection(source, target)
    )


def injection_conditions(study: Study) -> tuple[Condition, ...]:
    return (POST, *(_injected(source, target) for source, target in permutations(study.members, 2)))


def injections(results: Results) -> Section:
    """Table 2."""
    rows: list[tuple[Cell, ...]] = []
    effects = []
    for source, target in permutations(results.study.members, 2):
        right, alone = results.right_alone(source), results.right_alone(target)
        after = results.right_alone(target, _injected(source, target))
        label = f"{target} after a third of {source}"
        pairs = list(zip(right, alone, strict=True))
        shares = (
            _among(after, [pair == wanted for pair in pairs])
            for wanted in ((True, False), (False, False), (False, True))
        )
        rows.append((Words(label), *shares))
        effects.append(effect(f"{label}, over {target} alone", after, alone, None))
    note = (
        "One member leads the first third of the rounds and another one all that follow, whose own answer is read. If a"
        " part of a right trajectory corrects a wrong one, the first column is high. The second says what a part of a"
        " wrong trajectory does where both are wrong alone, the third how often a right member stays right after it."
    )
    header = ("right afterwards, %", "source right, target wrong", "both wrong", "source wrong, target right")
    grids = (Grid(header, tuple(rows)), Grid(EFFECT_HEADER, tuple(effects)))
    return Section("injection", "A third of another's trajectory (table 2)", note, grids)


def _among(right: Right, is_inside: Sequence[bool]) -> Share:
    return Share.of_right([one for one, is_in in zip(right, is_inside, strict=True) if is_in])
