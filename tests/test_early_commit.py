"""Early commit: when a request ends before its reasoning does, and what it leaves behind.

Canvas: 4 reasoning positions in blocks of 2, one suffix token, 2 answers at 5 and 6; rounds of 2 steps.
"""

from dataclasses import replace

from tie_core.canvas import Commit
from tie_core.early_commit import commit_early
from tie_core.options import resolve_options
from tie_core.scoring import ChangeCount, History
from tie_core.testing.scripted import END, MASK, VOCABULARY, canvas, drive
from tie_core.tie import tie
from tie_core.trajectory import Trajectory

BLANK = canvas(4, 2, block_size=2)
SURE = 0.99  # a top-1 of 0.99 is a margin of 0.98 in these scripts


def options(**changes):
    shape = {"reasoning": 4, "answer": 2, "block_size": 2, "interval": 2}
    return resolve_options({**shape, "early_commit": True, **changes})


def writer(token, answer):
    """Writes its own token; `answer` says what it expects at the answer's positions, from the canvas."""
    return lambda seen: {**dict.fromkeys(range(4), token), **answer(seen)}


def sure_of(first, second, confidence=SURE):
    return lambda seen: {5: (first, confidence), 6: (second, confidence)}


def run(*answers, blanks=None, vocabularies=None, **changes):
    chosen = options(**changes)
    oracles = [writer(3 + number, answer) for number, answer in enumerate(answers)]
    program = tie(vocabularies or [VOCABULARY] * len(oracles), blanks or [BLANK] * len(oracles), chosen)
    return drive(program, oracles, chosen)


def is_early(seen):
    early = [bool(run.early_commits) for run in seen.end.last_trajectories]
    assert len(set(early)) == 1, "all members or none"
    return early[0]


def test_members_that_are_sure_of_the_same_answer_end_the_request():
    seen = run(sure_of(1, 2), sure_of(1, 2))
    assert is_early(seen)
    assert seen.rounds == []
    assert [end.generated for end in seen.end.canvases] == [(3, 3, MASK, MASK, 8, 1, 2), (4, 4, MASK, MASK, 8, 1, 2)]
    assert [run.num_steps for run in seen.end.last_trajectories] == [2, 2]
    assert seen.end.last_trajectories[0].early_commits == (Commit(5, 1, SURE), Commit(6, 2, SURE))


def test_it_is_off_by_default():
    assert not is_early(run(sure_of(1, 2), early_commit=False))


def test_a_member_that_changed_its_mind_in_the_round_holds_it_up():
    def wavering(seen):
        return {5: (1 if seen.masked_left == 6 else 2, SURE), 6: (2, SURE)}

    seen = run(sure_of(2, 2), wavering)
    assert len(seen.rounds) == 1  # in the second round it is steady
    assert is_early(seen)


def test_a_member_with_a_narrow_margin_somewhere_holds_it_up():
    def unsure(seen):
        return {5: (1, SURE), 6: (2, 0.94)}  # a margin of 0.88

    assert not is_early(run(sure_of(1, 2), unsure))
    assert is_early(run(sure_of(1, 2), unsure, early_commit_margin=0.85))


def test_members_that_are_sure_of_different_answers_go_on():
    assert not is_early(run(sure_of(1, 2), sure_of(2, 1)))


def test_one_step_shows_no_stability():
    assert not is_early(run(sure_of(1, 2), interval=1))


def test_an_answer_of_end_tokens_alone_is_no_evidence():
    assert not is_early(run(sure_of(END, END)))


def test_end_tokens_behind_the_answer_are_committed_with_it():
    seen = run(sure_of(1, END))
    assert is_early(seen)
    assert seen.end.canvases[0].generated[5:] == (1, END)


def test_positions_beyond_the_scored_limit_must_be_sure_too():
    def late_doubt(seen):
        return {5: (1, SURE), 6: (2, 0.6)}

    assert not is_early(run(late_doubt, scored_positions=1))


def test_an_answer_already_begun_is_completed():
    def sure_once_begun(seen):
        return dict.fromkeys((3, 4, 5), (1, SURE if seen.masked_left <= 3 else 0.6))

    seen = run(sure_once_begun, blanks=[canvas(2, 3, block_size=2)])
    assert len(seen.rounds) == 1
    assert len(seen.end.last_trajectories[0].early_commits) == 1
    assert seen.end.canvases[0].is_complete


def test_members_agree_by_text_across_different_tokens():
    class Offset(type(VOCABULARY)):
        """The same text in tokens that are one higher."""

        def text_bytes(self, tokens):
            return bytes(token - 1 for token in tokens)

    trajectories = run(sure_of(1, 2), sure_of(2, 3), early_commit=False).rounds[0].trajectories

    across = commit_early(trajectories, [VOCABULARY, Offset()], options())
    assert [run.end.generated[5:] for run in across] == [(1, 2), (2, 3)]
    assert commit_early(trajectories, [VOCABULARY, VOCABULARY], options()) == trajectories


def test_a_proposal_that_is_not_the_models_own_guess_is_not_committed_early():
    seen = run(sure_of(1, 2), early_commit=False, interval=2)
    first: Trajectory = seen.rounds[0].trajectories[0]
    assert commit_early((first,), [VOCABULARY], options())[0].early_commits
    last = first.history.last
    held = replace(last, proposals=(*last.proposals[:-1], 7))
    history = History(first.history.scope, ChangeCount(has_evidence=True), 1.0, held)
    assert not commit_early((replace(first, history=history),), [VOCABULARY], options())[0].early_commits
