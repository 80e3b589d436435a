"""A member's predictions: whole canvases, and windows of canvases whose keys and values are kept."""

import random
from dataclasses import replace

import pytest

from tests.members import TINY, tiny
from tie_core.canvas import Commit, Layout, blank_canvas
from tie_core.member import Query
from tie_core.models.key_values import CanvasCache


def some_canvas(member, rng, length=None):
    mask_id = member.vocabulary.mask_id
    layout = Layout(length or rng.randint(8, 60), 3, 8, 8, mask_id)
    prompt, suffix = (tuple(rng.randrange(200) for _ in range(count)) for count in (rng.randint(1, 40), 3))
    return blank_canvas(prompt, suffix, layout)


def whole(canvas, cache=None):
    return Query(canvas, canvas.watched, "off", cache)


def windowed(query, canvas):
    """The query after `query`, which saw another state of the canvas."""
    changed = [p for p, (a, b) in enumerate(zip(query.canvas.generated, canvas.generated, strict=True)) if a != b]
    fresh = {*canvas.active_block, *canvas.watched, *changed}
    return replace(query, canvas=canvas, watched=canvas.watched, fresh=tuple(sorted(fresh)))


def after_a_step(canvas, rng):
    return canvas.commit([Commit(rng.choice(canvas.eligible), rng.randrange(200), 1.0)])


@pytest.mark.parametrize("name", TINY)
def test_keeping_keys_and_values_changes_no_prediction_of_a_whole_canvas(name):
    member, rng = tiny(name), random.Random(name)
    canvases = [some_canvas(member, rng) for _ in range(6)]
    exact = member.predict([whole(canvas) for canvas in canvases])
    assert member.predict([whole(canvas, CanvasCache()) for canvas in canvases]) == exact


@pytest.mark.parametrize("name", TINY)
def test_a_window_of_all_that_is_generated_is_nearly_exact(name):
    member, rng = tiny(name), random.Random(name)
    canvas = some_canvas(member, rng)
    query = whole(canvas, CanvasCache())
    member.predict([query])
    canvas = after_a_step(canvas, rng)
    everything = replace(windowed(query, canvas), fresh=tuple(range(canvas.layout.length)))
    (read,), (exact,) = member.predict([everything]), member.predict([whole(canvas)])
    assert read.tokens == exact.tokens
    assert read.top1 == pytest.approx(exact.top1, abs=0.02)  # the prompt's keys saw masks


@pytest.mark.parametrize("name", TINY)
def test_windows_are_read_alike_alone_and_among_others(name):
    member, rng = tiny(name), random.Random(name)
    starts = [some_canvas(member, rng) for _ in range(8)]

    def read(canvases_together):
        caches = [CanvasCache() for _ in starts]
        queries = [whole(canvas, cache) for canvas, cache in zip(starts, caches, strict=True)]
        member.predict(queries)
        steps, found = random.Random(1), [[] for _ in starts]
        for _ in range(5):
            queries = [windowed(query, after_a_step(query.canvas, steps)) for query in queries]
            if canvases_together:
                predictions = member.predict([*queries, whole(starts[0])])[:-1]
            else:
                predictions = [member.predict([query])[0] for query in queries]
            for row, prediction in zip(found, predictions, strict=True):
                row.append(prediction)
        return found

    assert read(canvases_together=True) == read(canvases_together=False)


def test_a_window_reads_few_positions():
    member, rng = tiny("dream-tiny"), random.Random(2)
    canvas = some_canvas(member, rng, length=56)
    query = whole(canvas, CanvasCache())
    assert member.num_positions(query) == query.length
    step = windowed(query, after_a_step(canvas, rng))
    assert member.num_positions(step) == 8 + 8 + 1 + 1  # block, answer, a left neighbour each
    assert tiny("llada-tiny").num_positions(step) == 8 + 8


@pytest.mark.parametrize("name", TINY)
def test_lanes_change_no_prediction_of_a_window(name):
    member, rng = tiny(name), random.Random(name)
    starts = [some_canvas(member, rng) for _ in range(7)]
    steps = [after_a_step(canvas, rng) for canvas in starts]

    def read():
        queries = [whole(canvas, CanvasCache()) for canvas in starts]
        first = member.predict(queries)
        return first + member.predict([windowed(query, canvas) for query, canvas in zip(queries, steps, strict=True)])

    alone = read()
    member.model.lanes.open(3, 1)
    try:
        assert read() == alone
    finally:
        member.model.lanes.open(1, 1)
