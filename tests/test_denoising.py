"""What a job asks to be read: everything, or under `cache: window` mostly what a step decides and watches."""

import pytest

from tests.members import TINY, tiny
from tie_core.denoising import Denoising
from tie_core.ensemble import Ensemble
from tie_core.options import TieOptions
from tie_core.scoring import History, Scope
from tie_core.testing.scripted import canvas, prediction
from tie_core.tie import Decode

REASONING, ANSWER, BLOCK = 12, 3, 4


def options(**changes) -> TieOptions:
    lengths = {"gen_length": None, "reasoning": REASONING, "answer": ANSWER}
    return TieOptions(**lengths, block_size=BLOCK, cache="window", **changes)


def job(asked: TieOptions, first=None) -> Denoising:
    blank = canvas(REASONING, ANSWER, block_size=BLOCK)
    scope = Scope(blank.layout.scored_region, frozenset())
    return Denoising(Decode(0, blank, History(scope), 9, first=first), asked)


def take_steps(denoising: Denoising, count: int):
    """Commits from the left; returns what was asked to be read."""
    queries = []
    for _ in range(count):
        queries.append(denoising.query)
        sure = {position: (5, 0.9 - position / 100) for position in denoising.query.watched}
        denoising.accept(prediction(sure))
    return queries


def test_the_whole_canvas_is_read_first_and_every_so_many_steps():
    queries = take_steps(job(options(refresh_interval=3)), 8)
    assert [query.fresh is None for query in queries] == [True, False, False, True, False, False, True, False]
    assert len({id(query.cache) for query in queries}) == 1


def test_a_window_is_the_active_block_the_answer_and_what_was_committed_since():
    *_, fifth, sixth = take_steps(job(options(refresh_interval=4)), 6)
    answer = (13, 14, 15)
    assert fifth.fresh is None  # four positions are committed: the first block
    assert sixth.fresh == (4, 5, 6, 7, *answer)
    queries = take_steps(job(options()), 6)
    assert queries[5].fresh == (0, 1, 2, 3, 4, 5, 6, 7, *answer)


def test_what_is_watched_is_always_read():
    for query in take_steps(job(options()), 9)[1:]:
        assert set(query.watched) <= set(query.fresh)


def test_a_first_prediction_read_before_the_round_keeps_nothing():
    known = prediction(dict.fromkeys((0, 1, 2, 3, 13, 14, 15), (5, 0.9)))
    denoising = job(options(), first=known)
    denoising.begin()
    first, second = take_steps(denoising, 2)
    assert first.fresh is None
    assert second.fresh == (0, 1, 2, 3, 13, 14, 15)


def test_windowed_forwards_are_counted():
    denoising = job(options(refresh_interval=3))
    take_steps(denoising, 9)
    assert denoising.result.num_windowed == 6
    assert denoising.result.approximations == {"cache_window"}


@pytest.mark.parametrize("models", [["dream-tiny"], list(TINY)])
def test_a_window_that_is_always_refreshed_is_the_exact_method(models):
    ensemble = Ensemble("tiny", [tiny(name) for name in models])
    asked = {"messages": [{"role": "user", "content": "2 + 2?"}], "gen_length": 24, "answer": 4, "interval": 4}
    exact, refreshed = (ensemble.answer(**asked, **cache) for cache in ({}, {"cache": "window", "refresh_interval": 1}))
    assert (refreshed.text, refreshed.tie) == (exact.text, exact.tie)
    windowed = ensemble.answer(**asked, cache="window")
    assert windowed.tie.approximations == ("cache_window",)
