"""The paper's ablations: for each the conditions that it takes, and its table beside the paper's figures.

Conditions are relative to the ensemble's own interval and blocks, so that they suit any members.
"""

from collections.abc import Iterable
from math import inf

from tie_core.evaluation import paper
from tie_core.evaluation.conditions import POST, Condition, tie_by
from tie_core.evaluation.records import Record
from tie_core.evaluation.results import Results, Study
from tie_core.evaluation.sections import EFFECT_HEADER, Cell, Figure, Grid, Right, Section, Share, Words, effect

ANSWER_HEADER = ("", "right, %", "forwards", "paper, GSM8K, %")
ACCELERATED = {
    "threshold 0.9": ({"policy": "threshold", "tau": 0.9}, paper.THRESHOLD),
    "top 2": ({"policy": "top_k", "k": 2}, paper.TOP_2),
}
RELAYED = ("tcc", "top1")  # the scores that the paper has accelerated


def answer_row(label: str, runs: Iterable[Record], published: float | None) -> tuple[Cell, ...]:
    """A row of `ANSWER_HEADER`."""
    runs = tuple(runs)
    forwards = sum(run.num_forwards for run in runs) / len(runs)
    return Words(label), Share.of_right([run.is_right for run in runs]), Figure(forwards), Figure(published, 2)


def _with_n(study: Study, n: int) -> Condition:
    """tcc at this interval. Below a block a round has to end inside one, or it would run on to the block's end."""
    own = study.intervals["tcc"]
    options = {} if n == own else {"interval": n}
    if n < min(study.base["block_size"], own):
        return tie_by("tcc", f"n = {n}, rounds end inside blocks", **options, relay_boundary="step")
    return tie_by("tcc", f"n = {n}", **options)


def _intervals(study: Study) -> dict[int, Condition]:
    """By the paper's n: half, once and twice the ensemble's own."""
    n = study.intervals["tcc"]
    return {8: _with_n(study, max(1, n // 2)), 16: _with_n(study, n), 32: _with_n(study, 2 * n)}


def interval_conditions(study: Study) -> tuple[Condition, ...]:
    return tuple(_intervals(study).values())


def interval(results: Results) -> Section:
    """Table 6."""
    by_n = _intervals(results.study)
    rows = tuple(answer_row(each.label, results.runs(each), paper.INTERVAL[n]) for n, each in by_n.items())
    half, own, twice = (results.right(each) for each in by_n.values())
    over_half = effect("the ensemble's n over half of it", own, half, paper.INTERVAL[16] - paper.INTERVAL[8])
    over_twice = effect("the ensemble's n over twice of it", own, twice, paper.INTERVAL[16] - paper.INTERVAL[32])
    note = "The interval n, by half and twice the ensemble's own; the paper's are 8, 16 and 32."
    if "relay_boundary" in by_n[8].options:
        over_half = (*over_half[:-1], Words("not comparable"))
        note += (
            " Between different tokenizers a round runs on to the end of a block. Half of n is less than a block, so"
            " its rounds are let end inside one (`relay_boundary: step`), where what is not yet a whole number or"
            " character is masked again: that row differs in two things."
        )
    effects = (over_half, over_twice)
    return Section("interval", "Interval (table 6)", note, (Grid(ANSWER_HEADER, rows), Grid(EFFECT_HEADER, effects)))


def _accelerated(study: Study, what: str) -> tuple[Condition, tuple[Condition, ...]]:
    """The post-generation ensemble under a policy, and TIE with each score. With k = 2 a round is half as many steps,
    so that it hands over as much; under the threshold n is what the ensemble is configured with."""
    options = dict(ACCELERATED[what][0])
    post = Condition(f"post-generation ensemble, {what}", {**options, **POST.options})

    def tied(score: str) -> Condition:
        if what == "top 2":
            n = max(1, study.intervals[score] // 2)
            return tie_by(score, f"{what}, n = {n}", **options, interval=n)
        n = study.resolve({**options, "score": score})["interval"]
        return tie_by(score, f"{what}, n = {n}", **options)

    return post, tuple(map(tied, RELAYED))


def acceleration_conditions(study: Study) -> tuple[Condition, ...]:
    exact = tuple(map(tie_by, RELAYED))
    return (
        POST,
        *exact,
        *(each for what in ACCELERATED for post, tied in [_accelerated(study, what)] for each in (post, *tied)),
    )


def acceleration(results: Results) -> Section:
    """Table 7."""
    exact = (POST, *map(tie_by, RELAYED))
    published = (paper.GSM8K[paper.POST], *(paper.GSM8K[score] for score in RELAYED))
    rows = [answer_row(each.label, results.runs(each), figure) for each, figure in zip(exact, published, strict=True)]
    effects = []
    for what, (_, figures) in ACCELERATED.items():
        post, tied = _accelerated(results.study, what)
        best = results.best_member(post)
        alone = results.right_alone(best, post)
        rows.append(_member_row(f"{best} alone, {what}", results, best, post, paper.better_member(figures)))
        rows.append(answer_row(post.label, results.runs(post), None))
        for score, each in zip(RELAYED, tied, strict=True):
            rows.append(answer_row(each.label, results.runs(each), figures[score]))
            gained = figures[score] - paper.better_member(figures)
            effects.append(effect(f"{each.label} over {best} alone", results.right(each), alone, gained))
            effects.append(effect(f"{each.label} over {post.label}", results.right(each), results.right(post), None))
    note = (
        "Steps that commit more than one token. The member is the best one on these very items under the same policy,"
        " and need not be the main table's."
    )
    return Section(
        "acceleration",
        "Acceleration (table 7)",
        note,
        (Grid(ANSWER_HEADER, tuple(rows)), Grid(EFFECT_HEADER, tuple(effects))),
    )


def _member_row(label: str, results: Results, name: str, post: Condition, published: float) -> tuple[Cell, ...]:
    runs = results.runs(post)
    forwards = sum(run.decode_forwards.get(name, 0) for run in runs) / len(runs)
    return Words(label), Share.of_right(results.right_alone(name, post)), Figure(forwards), Figure(published, 2)


NOT_NORMALISED = Condition("TIE, tcc, changes not divided by |A|", {"score": "tcc"}, is_normalised=False)


def normalisation_conditions(study: Study) -> tuple[Condition, ...]:
    return tie_by("tcc"), NOT_NORMALISED


def normalisation(results: Results) -> Section:
    """Table 8."""
    ours, other = tie_by("tcc"), NOT_NORMALISED
    note = "The token change count with and without the division by the number of scored positions, everywhere."
    published = (paper.GSM8K["tcc"], paper.NOT_NORMALISED)
    return _two(results, "normalisation", "Normalisation (table 8)", note, (ours, other), "dividing by |A|", published)


def _two(
    results: Results,
    name: str,
    title: str,
    note: str,
    pair: tuple[Condition, Condition],
    what: str,
    published: tuple[float, float],
) -> Section:
    """Two conditions and what the first gains."""
    rows = tuple(
        answer_row(each.label, results.runs(each), figure) for each, figure in zip(pair, published, strict=True)
    )
    first, second = map(results.right, pair)
    effects = (effect(what, first, second, published[0] - published[1]),)
    return Section(name, title, note, (Grid(ANSWER_HEADER, rows), Grid(EFFECT_HEADER, effects)))


OWN_READING = tie_by("top1", "own reading only", cross_model=False)


def cross_model_conditions(study: Study) -> tuple[Condition, ...]:
    return tie_by("top1"), OWN_READING


def cross_model(results: Results) -> Section:
    """Table 9."""
    note = "A trajectory's score as the mean of all members' readings, and as its own member's alone."
    pair, published = (tie_by("top1"), OWN_READING), (paper.GSM8K["top1"], paper.NOT_CROSS_MODEL)
    return _two(results, "cross_model", "Cross-model scoring (table 9)", note, pair, "cross-model reading", published)


def selection_conditions(study: Study) -> tuple[Condition, ...]:
    options = {} if study.base["selection"] == "lowest_tcc" else {"selection": "lowest_tcc"}
    return POST, tie_by("tcc", **options)


def selection(results: Results) -> Section:
    """Table 10. All rules are read off one run, since a rule changes nothing before the end."""
    runs = results.runs(selection_conditions(results.study)[1])
    best = results.best_member()
    by_rule: dict[str, Right] = {
        "lowest_tcc": [run.is_right for run in runs],
        "best_model": [run.members_right.get(best, False) for run in runs],
        "most_selected": [run.members_right.get(most_selected(run), False) for run in runs],
    }
    labels = {"best_model": f"best_model ({best})"}
    rows = tuple(
        (Words(labels.get(rule, rule)), Share.of_right(right), Figure(paper.SELECTION[rule], 2))
        for rule, right in by_rule.items()
    )
    lowest, *others = by_rule
    effects = tuple(
        effect(f"{lowest} over {rule}", by_rule[lowest], by_rule[rule], paper.SELECTION[lowest] - paper.SELECTION[rule])
        for rule in others
    )
    note = (
        "The rule that chooses among the finished answers of TIE, tcc. The best model is the best member on these very"
        " items, so that rule is favoured; it need not be the main table's."
    )
    grids = (Grid(("", "right, %", "paper, GSM8K, %"), rows), Grid(EFFECT_HEADER, effects))
    return Section("selection", "Final rule (table 10)", note, grids)


def most_selected(run: Record) -> str:
    """The member that `most_selected` would answer with, of a run that ended by `lowest_tcc`: the one that led most
    rounds; ties by the lowest count, then the one that was chosen. What is left after that is the members' order."""
    if not run.members_right:
        return run.final_model
    most = max(run.wins.get(name, 0) for name in run.members_right)
    tied = [name for name in run.members_right if run.wins.get(name, 0) == most]
    if run.final_model in tied:
        return run.final_model  # the lowest of all is the lowest of these
    counts = {name: inf if (count := run.tcc.get(name)) is None else count for name in tied}
    return min(tied, key=counts.__getitem__)
