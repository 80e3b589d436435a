"""The pool of keys and values: ranges never overlap, what was written stays, and what nobody holds comes back."""

import gc
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tie_core.models import key_values
from tie_core.models.key_values import GROWTH, CanvasCache, KeyValues

LAYERS, HEADS, DIM = 2, 2, 4


def new_pool():
    return KeyValues(LAYERS, HEADS, DIM, torch.float32, torch.device("cpu"))


def write(pool, place, value):
    """One forward over the whole of `place`, with filler behind it as a packed forward has."""
    cache = pool.at(torch.arange(place.start, place.stop))
    states = torch.full((1, HEADS, len(place) + 3, DIM), float(value))
    for layer in range(LAYERS):
        cache.update(states, states + 0.5, layer)


def kept(pool, place):
    """Keys and values of every layer."""
    nothing = torch.empty(1, HEADS, 0, DIM)
    cache = pool.at(torch.empty(0, dtype=torch.long))
    layers = [cache.update(nothing, nothing, layer) for layer in range(LAYERS)]
    return [[states[0, :, place.start : place.stop] for states in layer] for layer in layers]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 900)), max_size=40))
def test_what_a_canvas_keeps_is_never_touched_by_others(steps):
    pool, held, number = new_pool(), {}, 0
    for is_new, size in steps:
        if is_new or not held:
            number += 1
            held[number] = pool.reserve(size)
            write(pool, held[number], number)
        else:
            pool.release(held.pop(sorted(held)[size % len(held)]))
    for number, place in held.items():
        for keys, values in kept(pool, place):
            assert (keys == number).all()
            assert (values == number + 0.5).all()
    places = sorted(held.values(), key=lambda place: place.start)
    assert all(one.stop <= other.start for one, other in pairwise(places))
    assert all(place.stop <= pool.num_positions for place in places)


def test_a_place_that_came_back_is_used_again():
    pool = new_pool()
    first, second = pool.reserve(600), pool.reserve(700)
    pool.release(first)
    assert pool.reserve(500) == range(500)
    assert pool.num_positions == 2 * GROWTH
    assert len(second) == 700


def test_a_pool_that_nobody_uses_starts_anew():
    pool = new_pool()
    write(pool, place := pool.reserve(5 * GROWTH), 1.0)
    pool.release(place)
    pool.reserve(10)
    assert pool.num_positions == GROWTH


def test_a_cache_that_nobody_holds_gives_its_place_back():
    pool, kept = new_pool(), CanvasCache()
    other = CanvasCache()
    assert kept.place(pool, 30) == kept.place(pool, 30) == range(30)
    other.place(pool, 30)
    del kept
    gc.collect()
    assert pool.reserve(30) == range(30)


def test_a_pool_that_could_not_grow_is_what_it_was(monkeypatch):
    pool = new_pool()
    first = pool.reserve(600)
    write(pool, first, 1.0)
    whole, calls = key_values.pad, []

    def fail_later(states, by):
        calls.append(by)
        if len(calls) % 4 == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(states, by)

    monkeypatch.setattr(key_values, "pad", fail_later)
    for _ in range(5):
        with pytest.raises(torch.OutOfMemoryError):
            pool.reserve(5_000)
    monkeypatch.undo()

    assert pool.num_positions == GROWTH
    assert pool.reserve(GROWTH - 600) == range(600, GROWTH)  # the free tail is still there
    for keys, values in kept(pool, first):
        assert (keys == 1.0).all()
        assert (values == 1.5).all()
    later = pool.reserve(3_000)
    write(pool, later, 2.0)
    assert later == range(GROWTH, GROWTH + 3_000)
    for place in (first, range(600, GROWTH), later):
        pool.release(place)
    pool.take_back()
    assert pool.num_positions == 0


def test_a_pool_grows_by_half_of_itself():
    pool, sizes = new_pool(), set()
    for _ in range(100):
        pool.reserve(300)
        sizes.add(pool.num_positions)
    assert len(sizes) < 12


def test_no_more_is_promised_than_there_is_room_for_and_promises_come_back():
    pool = new_pool()
    first, second, third = CanvasCache(), CanvasCache(), CanvasCache()
    assert first.is_promised(pool, 60, 100)
    assert not second.is_promised(pool, 41, 100)
    assert second.is_promised(pool, 40, 100)
    del first
    gc.collect()
    assert third.is_promised(pool, 60, 100)
