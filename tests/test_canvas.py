"""The canvas: regions, blocks, eligibility, commits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tie_core.canvas import Commit, Layout, blank_canvas
from tie_core.testing.scripted import END, MASK, canvas


def commit_all(blank, positions):
    return blank.commit(Commit(position, 1, 0.5) for position in positions)


def test_the_regions_follow_each_other():
    layout = canvas(4, 3, suffix=(8, 8)).layout
    assert (layout.reasoning_region, layout.suffix_region, layout.answer_region) == (
        range(4),
        range(4, 6),
        range(6, 9),
    )
    assert layout.length == 9


def test_the_suffix_is_written_before_decoding():
    assert canvas(2, 2, suffix=(8, 5)).generated == (0, 0, 8, 5, 0, 0)


def test_only_the_leftmost_unfinished_block_is_eligible():
    blank = canvas(6, 4, block_size=4)
    assert blank.eligible == (0, 1, 2, 3)
    assert commit_all(blank, (0, 2)).eligible == (1, 3)
    assert commit_all(blank, range(4)).eligible == (4, 5)  # the last block of a region is shorter


def test_answer_positions_wait_for_reasoning():
    blank = canvas(6, 4, block_size=4)
    assert commit_all(blank, range(5)).eligible == (5,)
    assert commit_all(blank, range(6)).eligible == (7, 8, 9, 10)


def test_blocks_partition_the_answer_region_by_itself():
    blank = canvas(3, 6, block_size=4)
    assert commit_all(blank, range(3)).active_block == range(4, 8)
    assert commit_all(blank, (0, 1, 2, 4, 5, 6, 7)).active_block == range(8, 10)


def test_after_a_transcoded_relay_blocks_start_at_the_first_masked_position():
    relayed = canvas(12, 4, block_size=4).with_generated((1,) * 5 + (0,) * 7 + (8,) + (0,) * 4, block_origin=5)
    assert relayed.active_block == range(5, 9)
    assert commit_all(relayed, range(5, 9)).active_block == range(9, 12)
    assert commit_all(relayed, range(5, 12)).active_block == range(13, 17)


def test_a_block_boundary_is_where_no_block_is_half_decoded():
    blank = canvas(4, 4, block_size=4)
    assert blank.is_at_block_boundary
    assert not commit_all(blank, (1,)).is_at_block_boundary
    assert commit_all(blank, range(4)).is_at_block_boundary


def test_a_committed_token_is_never_undone_by_a_step():
    with pytest.raises(AssertionError):
        commit_all(commit_all(canvas(2, 2), (0,)), (0,))


def test_what_is_watched_are_the_eligible_and_the_masked_answer_positions():
    blank = canvas(4, 2, block_size=2)
    assert blank.watched == (0, 1, 5, 6)


def test_the_open_task_watches_every_masked_position():
    assert canvas(5, 0, suffix=(), block_size=2).watched == (0, 1, 2, 3, 4)


@given(st.integers(1, 20), st.integers(0, 20), st.integers(1, 9), st.integers(1, 5))
def test_a_run_takes_as_many_steps_as_the_layout_says(reasoning, answer, block_size, per_step):
    run = canvas(reasoning, answer, block_size=block_size)
    expected, steps = run.layout.num_steps(per_step), 0
    while not run.is_complete:
        run = commit_all(run, run.eligible[:per_step])
        steps += 1
    assert steps == expected


def test_an_end_of_text_fills_the_rest_of_its_region_only():
    blank = canvas(4, 2, block_size=2)
    end, text = Commit(1, END, 0.7), Commit(0, 5, 0.9)
    assert blank.fill_end((text,)) == ()
    assert blank.fill_end((text, end)) == (Commit(2, END, 0.7), Commit(3, END, 0.7))
    assert blank.fill_end((Commit(5, END, 0.6),)) == (Commit(6, END, 0.6),)
    assert blank.fill_end((end, Commit(3, 4, 0.8))) == (Commit(2, END, 0.7),)


def test_without_an_end_token_nothing_is_filled():
    blank = blank_canvas((7,), (8,), Layout(4, 1, 2, 2, MASK))
    assert blank.fill_end((Commit(1, END, 0.7),)) == ()


def test_an_answer_is_complete_without_masks_in_the_scored_region():
    blank = canvas(2, 1)
    assert not blank.is_answered
    assert commit_all(blank, [3]).is_answered
    assert not commit_all(blank, [3]).is_complete
