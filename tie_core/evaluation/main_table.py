"""The main table of a task: members, post-generation ensemble and TIE in right answers, rounds, leaders, forwards."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Final

from tie_core.evaluation import paper
from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.intervals import LEAST_P, holm
from tie_core.evaluation.parts import over_parts
from tie_core.evaluation.records import Record
from tie_core.evaluation.results import STAGES, Results, Study, change_rate, undecided, wins_by_stage
from tie_core.evaluation.sections import (
    EFFECT_HEADER,
    Cell,
    Figure,
    Grid,
    P,
    Points,
    Right,
    Section,
    Share,
    Words,
    compared,
    effect,
    standing,
)
from tie_core.evaluation.tables import in_percent, p_value, points_with_interval

SIGNIFICANT: Final = 0.01
NOTE: Final = """\
A row is compared, item by item, with the member that has more right answers than the others on these very items
({best}) and with the post-generation ensemble. "Beyond choosing" counts the items that a row solves though every member
fails them alone: no choice among finished answers can. Members and the best possible choice are read off the
post-generation run. Forwards and seconds are means over requests: forwards of all members together, seconds from the
first step to the answer while as many other requests as there is room for take turns with it, which is not the time of
a request alone. The model change rate is the share of rounds, the first of each request left out, that another member
led than the round before."""
TIED: Final = """\
A round is tied where no member alone has the best score: mostly the top-1 probability of the answer positions decides
then."""
RULE: Final = """\
The post-generation ensemble answers with one of the members' own answers, chosen by the rule `{rule}`, as TIE does at
the end."""
LOWEST: Final = "That takes the run with the lowest token change count; ties go to the higher top-1 probability."
RETOKENISED: Final = """\
TIE's forwards can differ from those of the members alone: between different tokenizers a relay leaves other numbers of
positions to fill than a run of one's own."""
PARTS: Final = """\
Rows of a part of the members are held against the post-generation ensemble of all {num}, and go beyond choosing where
all {num} fail."""
OURS: Final = {
    "tcc_end": "`tcc_end`, tcc with the change after the round's last commit",
    "commit": "`commit`, the mean confidence of what a member committed in the round, by its own reading alone",
    "commit_top1": "`commit_top1`, commit times top1",
}
"""Scores that the paper does not have."""


def conditions(study: Study) -> tuple[Condition, ...]:
    """The post-generation ensemble always, since members are read off it."""
    return tuple({condition.key: condition for condition in (POST, *study.conditions)}.values())


def render(results: Results) -> Section:
    asked = conditions(results.study)
    relayed = results.study.relayed
    grids = [_answers(results, asked), _rounds(results, relayed), _stages(results, relayed)]
    grids += [grid] if (grid := over_parts(results, relayed)) is not None else []
    grids += [_groups(results, asked)] if len({item.group for item in results.items}) > 1 else []
    published = paper.ACCURACY.get(results.study.task.name)
    grids += [_published(published), _gains(results, relayed)] if published else []
    return Section("main", "Right answers", _note(results), tuple(grids), tuple(_sentences(results, asked)))


def _note(results: Results) -> str:
    study = results.study
    rule = study.base["selection"]
    parts = [NOTE.format(best=results.best_member()), TIED, RULE.format(rule=rule)]
    parts += [LOWEST] if rule == "lowest_tcc" else []
    parts.append(RETOKENISED)
    parts += [PARTS.format(num=len(study.members))] if any(each.models for each in study.relayed) else []
    asked = {each.options.get("score", study.base["score"]) for each in study.relayed}
    ours = [what for score, what in OURS.items() if score in asked]
    parts += [f"Not the paper's scores: {'; '.join(ours)}."] if ours else []
    return "\n".join(parts)


def _answers(results: Results, asked: Sequence[Condition]) -> Grid:
    post, best = results.runs(POST), results.best_member()
    header = ("", "right, %", f"over {best}", "p", "over post-generation", "p", "beyond choosing", "forwards")
    rows = [_answer_row(results, f"{name} alone", right, _spent(post, [name])) for name, right in _alone(results)]
    for condition in asked:
        runs = results.runs(condition)
        seconds = fmean(run.seconds for run in runs)
        rows.append(
            _answer_row(results, results.study.label_of(condition), results.right(condition), _spent(runs), seconds)
        )
    solvable = [not failed for failed in results.failed_by_all()]
    rows.append(_answer_row(results, "best possible choice among finished answers", solvable, _spent(post)))
    return Grid((*header, "of these to score", "seconds among others"), tuple(rows))


def _alone(results: Results) -> Iterator[tuple[str, tuple[bool, ...]]]:
    for name in results.study.members:
        yield name, results.right_alone(name)


def _answer_row(
    results: Results, label: str, right: Right, spent: tuple[float, float], seconds: float | None = None
) -> tuple[Cell, ...]:
    over_best = compared(right, results.right_alone(results.best_member()))
    over_post = compared(right, results.right(POST))
    solved = sum(one and failed for one, failed in zip(right, results.failed_by_all(), strict=True))
    decode, score = spent
    cells: tuple[Cell, ...] = (Words(label), Share.of_right(right), Points(over_best), P(over_best))
    cells += (Points(over_post), P(over_post), Figure(solved, 0))
    return (*cells, Figure(decode + score), Figure(score), Figure(seconds, 2))


def _spent(runs: Sequence[Record], members: Iterable[str] | None = None) -> tuple[float, float]:
    """Forwards a request, to decode and to score, of these members (None: of all)."""

    def mean(spent: Iterable[dict[str, int]]) -> float:
        names = None if members is None else set(members)
        return fmean(sum(count for name, count in each.items() if names is None or name in names) for each in spent)

    return mean(dict(run.decode_forwards) for run in runs), mean(dict(run.score_forwards) for run in runs)


def _rounds(results: Results, relayed: Sequence[Condition]) -> Grid:
    members = results.study.members
    header = ("", "rounds", "model change rate, %", "tied, %", *(f"led by {name}, %" for name in members))
    rows: list[tuple[Cell, ...]] = []
    for condition in relayed:
        runs = results.runs(condition)
        switched, later = change_rate(runs)
        num = sum(len(run.rounds) for run in runs)
        cells: tuple[Cell, ...] = (Words(results.study.label_of(condition)), Figure(num / len(runs), 2))
        cells += (_percent(switched, later), _percent(sum(tied for tied, _ in undecided(runs)), num))
        rows.append((*cells, *(_percent(sum(run.wins.get(name, 0) for run in runs), num) for name in members)))
    return Grid(header, tuple(rows))


def _stages(results: Results, relayed: Sequence[Condition]) -> Grid:
    rows: list[tuple[Cell, ...]] = [
        (
            Words(f"{results.study.label_of(condition)}: led by {name}"),
            *(_percent(led, num) for led, num in wins_by_stage(results.runs(condition), name)),
        )
        for condition in relayed
        for name in condition.models or results.study.members
    ]
    return Grid(("", *(f"{stage} of the run, %" for stage in STAGES)), tuple(rows))


def _percent(num: int, of: int) -> Figure:
    return Figure(100 * num / of if of else None)


def _groups(results: Results, asked: Sequence[Condition]) -> Grid:
    ways = [(f"{name} alone", right) for name, right in _alone(results)]
    ways += [(results.study.label_of(condition), results.right(condition)) for condition in asked]
    rows: list[tuple[Cell, ...]] = []
    for group in dict.fromkeys(item.group for item in results.items):
        inside = _inside(results, group, *(right for _, right in ways))
        rows.append((Words(group), Figure(len(inside[0]), 0), *(Figure(100 * fmean(right)) for right in inside)))
    return Grid(("group", "items", *(f"{label}, %" for label, _ in ways)), tuple(rows))


def _published(figures: paper.Figures) -> Grid:
    rows = tuple(
        (Words(who if who in paper.OTHERS else f"TIE, {who}"), Figure(value, 2)) for who, value in figures.items()
    )
    return Grid(("the paper", "right, %"), rows)


def _gains(results: Results, relayed: Sequence[Condition]) -> Grid:
    """What the paper has under the same conditions: TIE by a score and no other option."""
    task, best = results.study.task.name, results.best_member()
    rows = []
    for condition in relayed:
        if condition.key != tie_by(score := str(condition.options.get("score"))).key:
            continue
        right = results.right(condition)
        over_best, over_post = paper.gain(task, score, ""), paper.gain(task, score, paper.POST)
        rows.append(effect(f"{condition.label} over {best} alone", right, results.right_alone(best), over_best))
        rows.append(effect(f"{condition.label} over {POST.label}", right, results.right(POST), over_post))
    return Grid(EFFECT_HEADER, tuple(rows))


def _sentences(results: Results, asked: Sequence[Condition]) -> Iterator[str]:
    failed = sum(results.failed_by_all())
    yield f"Every member fails {failed} of {len(results.items)} items alone; choosing among answers solves none."
    if results.study.chosen is not None:
        yield _verdict(results, results.study.chosen)
    yield from _over_post(results)
    for condition in asked:
        runs = results.runs(condition)
        if missing := sum(bool(run.error) for run in runs):
            yield f"{condition.label}: {missing} items have no answer and count as wrong."
        if degraded := sum(run.is_degraded for run in runs):
            yield f"{condition.label}: in {degraded} runs a member was lost to a round."
        if approximated := sum(bool(run.approximations) for run in runs):
            yield f"{condition.label}: {in_percent(approximated / len(runs))} of the runs are approximate."


def _over_post(results: Results) -> Iterator[str]:
    """Where TIE with all members stands beside choosing among finished answers, and in which groups of items."""
    chosen, post = results.study.chosen, results.right(POST)
    groups = list(dict.fromkeys(item.group for item in results.items))
    for condition in results.study.relayed:
        if condition.models:
            continue
        right = results.right(condition)
        if chosen is None or condition.key != chosen.key:
            yield f"{condition.label} is {standing(right, post, f'the {POST.label}')}."
        by_group = {group: compared(*_inside(results, group, right, post)) for group in groups}
        adjusted = holm([1.0 if found is None else found.p_value for found in by_group.values()])
        told = [
            f"{group} {points_with_interval(found)}"
            for (group, found), p in zip(by_group.items(), adjusted, strict=True)
            if p < LEAST_P
        ]
        if told and len(groups) > 1:
            where = (
                f"told apart in {len(told)} of {len(groups)} groups (p < {LEAST_P} by Holm's method over the groups)"
            )
            yield f"{condition.label} over the {POST.label} by group, {where}: {'; '.join(told)}."


def _inside(results: Results, group: str, *ways: Right) -> list[list[bool]]:
    return [[one for one, item in zip(right, results.items, strict=True) if item.group == group] for right in ways]


def _verdict(results: Results, chosen: Condition) -> str:
    right = results.right(chosen)
    best = results.best_member()
    over = {f"the best member ({best})": results.right_alone(best), "the post-generation ensemble": results.right(POST)}
    told = []
    for name, other in over.items():
        found = compared(right, other)
        is_above = found is not None and found.difference > 0 and found.p_value < SIGNIFICANT
        words = "above" if is_above else f"**not** above (p < {SIGNIFICANT})"
        told.append(f"{words} {name}: {points_with_interval(found)} points, p {p_value(found)}")
    return f"{chosen.label}, chosen on validation items, is " + ", and ".join(told) + "."
