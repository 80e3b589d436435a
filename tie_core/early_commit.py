"""Early commit: ends a request whose answer no member doubts any more, while its reasoning is still being written.

An approximation of ours, off by default, decided from what the round's steps saw: it costs no forward. Prophet (arXiv
2508.19982) commits on one model's margin alone; between members there is more to go by.
"""

from collections.abc import Sequence
from dataclasses import replace

from tie_core.canvas import Commit
from tie_core.options import TieOptions
from tie_core.trajectory import Trajectory
from tie_core.vocabulary import Vocabulary


def commit_early(
    trajectories: tuple[Trajectory, ...], vocabularies: Sequence[Vocabulary], options: TieOptions
) -> tuple[Trajectory, ...]:
    """A round's trajectories with their answers committed if every member is settled on the same text, else as given.

    The reasoning stays as it is, masks included.
    """
    if not options.early_commit or not all(_is_settled(run, options.early_commit_margin) for run in trajectories):
        return trajectories
    committed = tuple(_with_answer(run) for run in trajectories)
    texts = {_answer_text(run, vocabularies[run.member]) for run in committed}
    return committed if len(texts) == 1 else trajectories


def _is_settled(run: Trajectory, least_margin: float) -> bool:
    """Two steps or more in which the answer did not change, and at the end a wide margin everywhere it is masked.

    The margin is asked of all masked scored positions, end tokens and the ones beyond the scored limit included, since
    all of them are to be committed; and each must be what a step would commit there.
    """
    changes, last = run.history.changes, run.history.last
    if run.num_steps < 2 or last is None or changes.value or not changes.has_evidence:
        return False
    undecided = set(run.end.masked(run.end.layout.scored_region))
    rows = [row for row, position in enumerate(last.positions) if position in undecided]
    return bool(rows) and all(
        last.margin[row] >= least_margin and last.proposals[row] == last.tokens[row] for row in rows
    )


def _with_answer(run: Trajectory) -> Trajectory:
    last, undecided = run.history.last, set(run.end.masked(run.end.layout.scored_region))
    assert last is not None
    columns = zip(last.positions, last.proposals, last.confidences, strict=True)
    commits = tuple(Commit(*column) for column in columns if column[0] in undecided)
    return replace(run, end=run.end.commit(commits), early_commits=commits)


def _answer_text(run: Trajectory, vocabulary: Vocabulary) -> bytes:
    """Without the spaces around it, which tokenizers attach to different tokens."""
    region = run.end.layout.scored_region
    return vocabulary.text_bytes(vocabulary.until_end(run.end.generated[region.start : region.stop])).strip()
