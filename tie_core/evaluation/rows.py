"""The rows of the results: what each setting's answers come to, alone and paired with its baseline. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tie_core.evaluation.intervals import Interval, Paired, paired, wilson
from tie_core.evaluation.measuring import Answered, Measurement
from tie_core.evaluation.settings import Setting

Right = tuple[bool, ...]  # item by item


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a setting is compared with: a post-generation run, the better member in it, and what both members fail."""

    ensemble: Right
    better_name: str
    better: Right
    failed_by_all: Right


@dataclass(frozen=True, slots=True)
class Leading:
    """How rounds went. `change_rate` is the share of rounds, a request's first left out, with another leader than the
    round before; None without such rounds. `wins` are shares of the rounds led."""

    rounds: float
    change_rate: float | None
    wins: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One way of answering. A comparison is None with answers that are right on the very same items."""

    label: str
    right: Right
    interval: Interval
    to_ensemble: Paired | None
    to_better: Paired | None
    solved_of_failed: int
    decode_forwards: float
    score_forwards: float
    leading: Leading | None = None
    seconds: float | None = None

    @property
    def share(self) -> float:
        return fmean(self.right)


@dataclass(frozen=True, slots=True)
class Changes:
    """Whole-run token change counts of one member's right or wrong runs without relays."""

    num: int
    median: float | None
    mean: float | None


def baseline_of(post: Measurement) -> Baseline:
    """The better member is the one with more right answers on these very items: the harder one to beat."""
    by_member = member_answers(post)
    better = max(by_member, key=lambda name: sum(by_member[name]))
    return Baseline(
        ensemble=tuple(run.is_right for run in post.answered),
        better_name=better,
        better=by_member[better],
        failed_by_all=tuple(not any(run.member_is_right.values()) for run in post.answered),
    )


def member_answers(post: Measurement) -> dict[str, Right]:
    names = post.answered[0].member_is_right
    return {name: tuple(run.member_is_right[name] for run in post.answered) for name in names}


def rows_of(settings: Sequence[Setting], measurements: Mapping[str, Measurement]) -> dict[str, Row]:
    """A row for every setting, behind the ones that a baseline's run holds besides: members and best possible choice.

    Keys are the settings' names, and `<setting>/<member>` and `<setting>/best` for the others.
    """
    rows: dict[str, Row] = {}
    for setting in settings:
        measured, baseline = measurements[setting.name], baseline_of(measurements[setting.baseline])
        if setting.is_baseline:
            rows |= _member_rows(setting, measured, baseline)
        rows[setting.name] = _setting_row(setting, measured, baseline)
        if setting.is_baseline:
            rows[f"{setting.name}/best"] = _best_row(setting, measured, baseline)
    return rows


def changes_of(post: Measurement, member: str, *, is_right: bool) -> Changes:
    counts = [
        count
        for run in post.answered
        if run.member_is_right[member] == is_right and (count := run.tcc[member]) is not None
    ]
    if not counts:
        return Changes(0, None, None)
    return Changes(len(counts), median(counts), fmean(counts))


def _member_rows(setting: Setting, post: Measurement, baseline: Baseline) -> dict[str, Row]:
    suffix = setting.label.removeprefix("post-generation ensemble")
    return {
        f"{setting.name}/{name}": _row(f"{name} alone{suffix}", right, baseline, _spent(post.answered, [name]))
        for name, right in member_answers(post).items()
    }


def _best_row(setting: Setting, post: Measurement, baseline: Baseline) -> Row:
    suffix = setting.label.removeprefix("post-generation ensemble")
    right = tuple(not failed for failed in baseline.failed_by_all)
    return _row(f"best possible choice among finished answers{suffix}", right, baseline, _spent(post.answered))


def _setting_row(setting: Setting, measured: Measurement, baseline: Baseline) -> Row:
    right = tuple(run.is_right for run in measured.answered)
    leading = None if setting.is_baseline else _leading(measured.answered)
    return _row(setting.label, right, baseline, _spent(measured.answered), leading, measured.seconds)


def _row(
    label: str,
    right: Right,
    baseline: Baseline,
    spent: tuple[float, float],
    leading: Leading | None = None,
    seconds: float | None = None,
) -> Row:
    return Row(
        label=label,
        right=right,
        interval=wilson(sum(right), len(right)),
        to_ensemble=None if right == baseline.ensemble else paired(right, baseline.ensemble),
        to_better=None if right == baseline.better else paired(right, baseline.better),
        solved_of_failed=sum(one and failed for one, failed in zip(right, baseline.failed_by_all, strict=True)),
        decode_forwards=spent[0],
        score_forwards=spent[1],
        leading=leading,
        seconds=seconds,
    )


def _spent(runs: Sequence[Answered], members: Iterable[str] | None = None) -> tuple[float, float]:
    """Forwards a request, to decode and to score, of these members (None: of all)."""
    names = tuple(runs[0].decode_forwards if members is None else members)
    return (
        fmean(sum(run.decode_forwards[name] for name in names) for run in runs),
        fmean(sum(run.score_forwards[name] for name in names) for run in runs),
    )


def _leading(runs: Sequence[Answered]) -> Leading:
    num_rounds = sum(run.rounds for run in runs)
    num_later = sum(max(0, run.rounds - 1) for run in runs)
    return Leading(
        rounds=num_rounds / len(runs),
        change_rate=sum(run.switches for run in runs) / num_later if num_later else None,
        wins={name: sum(run.wins[name] for run in runs) / max(1, num_rounds) for name in runs[0].wins},
    )
