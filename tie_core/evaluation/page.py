"""The page of results: computed from the measurements, or telling what was run; nothing on it is typed in by hand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tie_core.evaluation.measuring import Measurement
from tie_core.evaluation.reading import sentences
from tie_core.evaluation.rows import Row, baseline_of, changes_of, member_answers, rows_of
from tie_core.evaluation.settings import Setting
from tie_core.evaluation.tables import NOTHING, figure, p_value, percent_with_interval, points_with_interval, table
from tie_core.evaluation.targets import Verdict, verdicts

MET: Final = {True: "yes", False: "**no**", None: NOTHING}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was measured, when, where and with what. `weights` identify the members' checkpoints."""

    date: str
    split: str
    seed: int
    num_items: int
    machine: str
    versions: Mapping[str, str]
    weights: Mapping[str, str]

    @property
    def all_versions(self) -> str:
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())

    @property
    def all_weights(self) -> str:
        return ", ".join(f"{name} `{digest}`" for name, digest in self.weights.items())


def render(told: Circumstances, settings: Sequence[Setting], measurements: Mapping[str, Measurement]) -> str:
    """The page in Markdown. Needs the measurement `post`."""
    rows, post = rows_of(settings, measurements), measurements["post"]
    targets = verdicts(rows)
    num_failed = sum(baseline_of(post).failed_by_all)
    return "\n".join(
        (
            OPENING.format(told=told, note=SPLIT_NOTES[told.split]),
            f"## Targets\n\n{_targets(targets)}",
            f"## Right answers\n\n{ANSWERS}\n{_answers(rows)}",
            f"## Rounds, leaders and forwards\n\n{ROUNDS}\n{_rounds(rows, tuple(member_answers(post)))}",
            f"## Token change count of right and wrong runs\n\n{CHANGES}\n{_changes(post)}",
            "## Reading the figures\n\n" + "".join(f"- {line}\n" for line in sentences(rows, targets, num_failed)),
            f"## What these figures do not show\n\n{LIMITS}",
        )
    )


def _targets(targets: Sequence[Verdict]) -> str:
    return table(
        ("target", "measured", "met"), ((verdict.target, verdict.measured, MET[verdict.is_met]) for verdict in targets)
    )


def _answers(rows: Mapping[str, Row]) -> str:
    header = ("", "right, %", "over post-generation", "p", "over the better member", "p", "solved of what both fail")
    return table(
        header,
        (
            (
                row.label,
                percent_with_interval(row.share, row.interval),
                points_with_interval(row.to_ensemble),
                p_value(row.to_ensemble),
                points_with_interval(row.to_better),
                p_value(row.to_better),
                f"{row.solved_of_failed}",
            )
            for row in rows.values()
        ),
    )


def _rounds(rows: Mapping[str, Row], members: Sequence[str]) -> str:
    led = (f"led by {name}, %" for name in members)
    header = ("", "rounds", "model change rate, %", *led, "forwards", "of these to score", "seconds")
    return table(header, ((row.label, *_round_figures(row, members)) for row in rows.values()))


def _round_figures(row: Row, members: Sequence[str]) -> Iterator[str]:
    leading = row.leading
    yield figure(leading.rounds if leading else None, 2)
    yield figure(100 * leading.change_rate if leading and leading.change_rate is not None else None)
    for name in members:
        yield figure(100 * leading.wins[name] if leading else None)
    yield figure(row.decode_forwards + row.score_forwards)
    yield figure(row.score_forwards)
    yield figure(row.seconds, 0)


def _changes(post: Measurement) -> str:
    return table(("", "runs", "median", "mean"), _change_rows(post))


def _change_rows(post: Measurement) -> Iterator[Sequence[str]]:
    for name in member_answers(post):
        for is_right in (True, False):
            counts = changes_of(post, name, is_right=is_right)
            label = f"{name}, {'right' if is_right else 'wrong'}"
            yield label, f"{counts.num}", figure(counts.median, 3), figure(counts.mean, 3)


SPLIT_NOTES: Final = {
    "test": "No weight, threshold or option was chosen on items of this seed.",
    "validation": "**Choices were made on items of this seed: these figures are for development only.**",
}

OPENING: Final = """\
# Results

How often the members of the embedded zoo are right alone and together. `make results` measures it and writes this
page; it is not edited by hand.

- Items: the first {told.num_items:,} worksheets of the {told.split} seed ({told.seed}), the same ones in every row.
  {note}
- Members: trained for this project; the recipe is `tie_core/zoo` (`make zoo`), and the [log](log.md) says how these
  weights came about. Checkpoints (SHA-256 of the weights, first digits): {told.all_weights}.
- Decoding: float32, greedy; block 8, n = 8, one token a step and the final rule `lowest_tcc` where a row does not say
  otherwise. Requests go through the engine that serves, up to 64 at once.
- Measured on {told.date}: {told.all_versions}; {told.machine}.

In brackets: 95 % intervals, Wilson's for a share, normal ones for paired differences over the same items. p is
McNemar's exact two-sided test. No correction is made for the number of rows.
"""

ANSWERS: Final = """\
A row is compared with the post-generation ensemble and with the better member *under the same unmasking policy*; the
better member is the one with more right answers on these very items, so it is favoured. Differences are in points. The
last column counts the items that the row solves though both members fail them alone.
"""

ROUNDS: Final = """\
Figures are means over requests; forwards are those of both members together. A round is counted when it ends in a
relay. The model change rate is the share of rounds, the first of each request left out, that another member led than
the round before. Seconds are those of the whole row on the machine above, whatever else it did.

Between different tokenizers a round runs on to the end of a block. So n = 4 would equal n = 8 here: the rows with
n = 4 let a round end inside a block instead (`relay_boundary: step`), where a transcoded relay masks again what is not
yet a whole number. Under the threshold policy a block takes few steps: with n = 1 a round ends at every block, with
n = 3 often a block later. The expert leads the rounds in which its lines are written; the scores (tcc) choose in the
rounds of the answer.
"""

CHANGES: Final = """\
Whole runs without relays (the post-generation run), by whether the member's own answer was right.
"""

LIMITS: Final = """\
- The members were trained for this task, with complementary skills, and to doubt an answer that rests on a wrong line.
  Nothing here says what TIE gains with other models: the paper's figures are for LLaDA and Dream on public benchmarks.
- Every part of the answer depends on one line, and each line is one block: the answer's positions react to a line as
  it is written, which is what the scores read. Tasks in which a mistake shows only later give them less to go by.
- The two members know different operations by construction, and every worksheet mixes them. Members that are wrong in
  the same places leave a relay nothing to gain.
- One training run of each member: the intervals cover the choice of items, not that of the training seed.
- What was tried and did not help is in the [log](log.md).
"""
