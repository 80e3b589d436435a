"""The loop itself, driven by scripts: who leads, what is relayed, what is counted, when it ends.

Canvas: 4 reasoning positions in blocks of 2, one suffix token, 2 answers at 5 and 6: seven tokens, six steps.
"""

from fractions import Fraction

import pytest

from tie_core.canvas import Commit
from tie_core.options import resolve_options
from tie_core.testing.scripted import END, MASK, VOCABULARY, canvas, drive
from tie_core.tie import max_rounds, tie

BLANK = canvas(4, 2, block_size=2)


def options(**changes):
    return resolve_options({"reasoning": 4, "answer": 2, "block_size": 2, "interval": 2, **changes})


def num_committed(seen):
    return 6 - seen.masked_left


def reasoning(token, confidence=0.5):
    return dict.fromkeys(range(4), (token, confidence))


def steady(token, confidence=0.5):
    """Writes its own token and never changes its mind about the answer."""
    return lambda seen: {**reasoning(token, confidence), 5: token, 6: token}


def wavering(token, confidence=0.5):
    """Writes its own token and changes its mind about the whole answer at every step."""

    def oracle(seen):
        answer = 1 + num_committed(seen) % 2
        return {**reasoning(token, confidence), 5: (answer, 0.4), 6: (answer, 0.4)}

    return oracle


def run(oracles, blanks=None, **changes):
    chosen = options(**changes)
    blanks = blanks or [BLANK] * len(oracles)
    best = 1 if chosen.best_model else None
    return drive(tie([VOCABULARY] * len(oracles), blanks, chosen, best), oracles, chosen)


def test_the_most_stable_trajectory_leads_and_everybody_gets_its_canvas():
    seen = run([wavering(3), steady(4)])
    first = seen.rounds[0]
    assert [score.value for score in first.scores] == [-1.0, 0.0]
    assert first.leader.member == 1
    assert {relayed.generated for relayed in first.canvases} == {(4, 4, MASK, MASK, 8, MASK, MASK)}
    assert [(relay.member, relay.result) for relay in first.relayed] == [(0, "copied")]


def test_without_normalisation_the_one_with_fewer_changed_positions_leads():
    def half_as_long(seen):
        """Wavers in one position where another one expects the end: a share of 1, and one position."""
        return {**reasoning(5), 5: 1 + num_committed(seen) % 2, 6: END}

    oracles = [wavering(3), half_as_long]
    chosen = options()
    seen = drive(tie([VOCABULARY] * 2, [BLANK] * 2, chosen, is_normalised=False), oracles, chosen)
    assert [score.value for score in run(oracles).rounds[0].scores] == [-1.0, -1.0]
    assert [score.value for score in seen.rounds[0].scores] == [-2.0, -1.0]
    assert seen.rounds[0].leader.member == 1


def test_a_round_is_n_steps_of_every_member():
    seen = run([wavering(3), steady(4)])
    assert [[run.num_steps for run in ended.trajectories] for ended in seen.rounds] == [[2, 2], [2, 2]]


def test_relays_end_when_a_member_has_completed():
    seen = run([wavering(3), steady(4)])
    assert [ended.number for ended in seen.rounds] == [1, 2]  # the third round completes the canvases
    assert all(end.is_complete for end in seen.end.canvases)


def test_the_post_generation_ensemble_never_relays_and_picks_a_finished_run():
    seen = run([wavering(3), steady(4)], interval=6)
    assert seen.rounds == []
    assert [end.generated[:4] for end in seen.end.canvases] == [(3,) * 4, (4,) * 4]
    assert seen.end.final.member == 1


def test_a_member_that_is_behind_finishes_alone_with_one_unbroken_history():
    fast, slow = steady(3, 0.95), wavering(4, 0.5)
    seen = run([fast, slow], policy="threshold", tau=0.9, interval=4)
    assert seen.rounds == []  # the fast member completes within the first round
    assert [work.member for work in seen.decodes] == [0, 1, 1]
    assert seen.decodes[2].canvas.generated[:4] == (4, 4, 4, 4)
    # six steps in one history: both answers waver in four pairs, and in the last one only the uncommitted answer
    assert seen.end.candidates[1].tcc.value == 4 + Fraction(1, 2)


def test_histories_start_anew_at_a_relay():
    def drifting(seen):  # the answer changes only between the second and the third step, where the relay is
        answer = 1 if num_committed(seen) < 2 else 2
        return {**reasoning(3), 5: answer, 6: answer}

    assert run([drifting]).end.final.tcc.value == 0
    assert run([drifting], interval=6).end.final.tcc.value == 1


@pytest.mark.parametrize("score", ["tcc", "commit"])
def test_what_a_round_has_shown_costs_no_forward_to_score(score):
    seen = run([wavering(3), steady(4)], score=score)
    assert seen.probes == []
    assert all(work.first is None for work in seen.decodes)


@pytest.mark.parametrize("num_members", [1, 2, 3])
@pytest.mark.parametrize("score", ["top1", "entropy", "margin", "commit_top1"])
def test_cross_model_scoring_costs_m_squared_minus_m_forwards_a_round(num_members, score):
    seen = run([steady(member + 1) for member in range(num_members)], score=score)
    num_rounds = len(seen.rounds)
    assert num_rounds == 2
    assert len(seen.probes) == num_rounds * num_members**2
    assert [sum(ended.num_score_forwards) for ended in seen.rounds] == [num_members**2 - num_members] * num_rounds
    # the leader's M readings are the members' next first predictions
    assert sum(work.first is not None for work in seen.decodes) == num_rounds * num_members


def test_identical_canvases_are_read_once():
    seen = run([steady(3), steady(3), steady(3)], score="top1")
    assert len(seen.probes) == len(seen.rounds) * 3
    assert seen.rounds[0].relayed[0].result == "identical"


@pytest.mark.parametrize("options", [{"score": "top1", "cross_model": False}, {"score": "tcc_end"}])
def test_without_cross_model_reading_each_member_reads_its_own_end(options):
    seen = run([steady(3), steady(4)], **options)
    assert [sum(ended.num_score_forwards) for ended in seen.rounds] == [1] * len(seen.rounds)  # the leader's is kept
    assert len(seen.probes) == len(seen.rounds) * 2
    assert all(probe.canvas.generated[0] == probe.member + 3 for probe in seen.probes[:2])


def test_a_cross_model_score_averages_what_all_members_see():
    def trusting(confidence_by_writer):
        def oracle(seen):
            writer = seen.generated[0]
            confidence = confidence_by_writer.get(writer, 0.5)
            return {**reasoning(own), 5: (1, confidence), 6: (1, confidence)}

        own = max(confidence_by_writer, key=lambda writer: confidence_by_writer[writer])
        return oracle

    # member 0 writes 3 and trusts itself; member 1 writes 4, and both are fairly sure of what it wrote
    seen = run([trusting({3: 0.9, 4: 0.7}), trusting({3: 0.2, 4: 0.8})], score="top1")
    assert [score.value for score in seen.rounds[0].scores] == pytest.approx([0.55, 0.75])
    assert seen.rounds[0].leader.member == 1
    own = run([trusting({3: 0.9, 4: 0.7}), trusting({3: 0.2, 4: 0.8})], score="top1", cross_model=False)
    assert [score.value for score in own.rounds[0].scores] == pytest.approx([0.9, 0.8])


def test_the_surest_commits_lead_by_their_confidence():
    def writing(token, confidence):
        return lambda seen: {**reasoning(token, confidence), 5: 1, 6: 1}

    seen = run([writing(3, 0.6), writing(4, 0.8)], score="commit")
    assert [score.value for score in seen.rounds[0].scores] == pytest.approx([0.6, 0.8])
    assert seen.rounds[0].leader.member == 1


def test_a_change_that_the_last_commit_makes_counts_for_tcc_end():
    def late(seen):  # it changes its mind about the answer once the round's last token is written
        answer = 1 if num_committed(seen) % 2 == 0 else 2
        return {**reasoning(3), 5: answer, 6: answer}

    def steady_in_pairs(seen):
        return {**reasoning(4), 5: 1, 6: 1}

    plain = run([late, steady_in_pairs], interval=1, score="tcc").rounds[0]
    ended = run([late, steady_in_pairs], interval=1, score="tcc_end").rounds[0]
    assert [score.value for score in plain.scores] == [0, 0]
    assert [score.value for score in ended.scores] == [-1, 0]
    assert ended.leader.member == 1


def test_without_evidence_the_surest_commits_lead_first_and_then_the_leader_stays():
    def ending(token, confidence):
        return lambda seen: {**reasoning(token, confidence(seen)), 5: END, 6: END}

    seen = run(
        [
            ending(3, lambda seen: 0.6 if num_committed(seen) < 2 else 0.9),
            ending(4, lambda seen: 0.8 if num_committed(seen) < 2 else 0.1),
        ]
    )
    assert [(ended.leader.member, ended.leader.tie_break) for ended in seen.rounds] == [
        (1, "no_evidence"),
        (1, "no_evidence"),
    ]


def test_switches_and_wins_are_counted_by_round():
    def steady_until(limit, token):
        def oracle(seen):
            is_calm = (num_committed(seen) < 2) == limit
            return (steady(token) if is_calm else wavering(token))(seen)

        return oracle

    seen = run([steady_until(True, 3), steady_until(False, 4)])
    assert [(ended.leader.member, ended.switched) for ended in seen.rounds] == [(0, False), (1, True)]
    assert [candidate.wins for candidate in seen.end.candidates] == [1, 1]
    assert seen.end.canvases[0].generated[:4] == (3, 3, 4, 4)


def test_most_selected_and_best_model_choose_among_the_candidates():
    oracles = [steady(3), wavering(4)]
    assert run(oracles, selection="most_selected").end.final.member == 0
    assert run(oracles, selection="best_model", best_model="the second").end.final.member == 1


def test_a_round_may_be_held_until_a_block_boundary():
    seen = run([steady(3), wavering(4)], interval=1, relay_boundary="block")
    assert [ended.trajectories[0].num_steps for ended in seen.rounds] == [2, 2]


def test_an_equal_canvas_still_counts_as_a_round_and_nothing_is_transferred():
    seen = run([steady(3), steady(3)])
    assert len(seen.rounds) == 2
    assert {relay.result for ended in seen.rounds for relay in ended.relayed} == {"identical"}


def test_answers_are_committed_after_all_reasoning():
    seen = run([wavering(3), steady(4)])
    order = [
        commit.position
        for ended in (*(ended.trajectories for ended in seen.rounds), seen.end.last_trajectories)
        for commit in ended[0].commits
    ]
    assert order == [0, 1, 2, 3, 5, 6]


def test_code_scores_only_the_first_positions():
    def changing_late(seen):
        return {**reasoning(3), 5: 1, 6: 1 + num_committed(seen) % 2}

    assert run([changing_late], scored_positions=1).rounds[0].scores[0].tcc == 0.0
    assert run([changing_late]).rounds[0].scores[0].tcc == 0.5


def test_the_open_task_scores_every_masked_position():
    blank = canvas(4, 0, suffix=(), block_size=2)
    chosen = resolve_options({"task": "open", "reasoning": 4, "answer": 0, "block_size": 2, "interval": 2})

    def oracle(seen):
        return {position: 1 + (position == 3 and not seen.is_masked(0)) for position in range(4)}

    seen = drive(tie([VOCABULARY], [blank], chosen), [oracle], chosen)
    # of the four masked positions one is committed (unchanged) and position 3 changes
    assert seen.rounds[0].scores[0].tcc == 0.25


def test_the_number_of_rounds_is_bounded_by_the_steps():
    assert max_rounds([BLANK], options()) == 6 / 2 + 2
    assert max_rounds([BLANK], options(interval=4)) == 2 + 2
    assert max_rounds([BLANK], options(k=2)) == 3 / 2 + 0.5 + 2


def test_members_may_have_prompts_and_suffixes_of_different_lengths():
    longer = canvas(4, 2, suffix=(8, 8), block_size=2)
    seen = run([wavering(3), lambda seen: {**reasoning(4), 6: 4, 7: 4}], blanks=[BLANK, longer])
    assert seen.rounds[0].canvases[0].generated == (4, 4, 0, 0, 8, 0, 0)
    assert seen.rounds[0].canvases[1].generated == (4, 4, 0, 0, 8, 8, 0, 0)


def test_an_end_of_text_is_filled_to_the_end_of_its_region_without_steps():
    def ending(seen):  # writes one token, then the end, then the answer
        confidence = {0: 0.9, 1: 0.8, 2: 0.1, 3: 0.1}
        return {0: (3, 0.9), 1: (END, 0.8), **{p: (4, confidence[p]) for p in (2, 3)}, 5: (5, 0.9), 6: (END, 0.5)}

    seen = run([ending], fill_end=True)
    (first,) = seen.rounds[0].trajectories
    assert first.end.generated == (3, END, END, END, 8, MASK, MASK)
    assert (first.num_steps, first.num_filled, len(first.commits)) == (2, 2, 4)
    assert first.approximations == {"fill_end"}
    assert seen.end.canvases[0].generated == (3, END, END, END, 8, 5, END)
    assert run([ending]).rounds[0].trajectories[0].num_filled == 0


def test_masks_before_an_end_of_text_are_still_decoded_step_by_step():
    def ending_first(seen):
        return {0: (3, 0.5), 1: (END, 0.9), 2: (4, 0.1), 3: (4, 0.1), 5: (5, 0.9), 6: (5, 0.9)}

    seen = run([ending_first], fill_end=True, interval=1, relay_boundary="block")
    (first,) = seen.rounds[0].trajectories
    assert first.num_steps == 2  # the block is finished before the round is
    assert first.end.generated == (3, END, END, END, 8, MASK, MASK)


def test_a_commit_is_written_where_it_says():
    assert BLANK.commit([Commit(1, 5, 0.5)]).generated == (0, 5, 0, 0, 8, 0, 0)
