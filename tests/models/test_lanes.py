"""Lanes share canvases: every part once, in order, and no bit of a prediction depends on them."""

import random
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.members import GOLDEN
from tests.models.test_packing import predict_packed, random_canvases
from tie_core.models.lanes import Lanes, shared_out
from tie_core.models.loading import load_model


@given(st.lists(st.integers(1, 500), max_size=40), st.integers(1, 9))
def test_everything_is_shared_out_once_and_evenly(sizes, num_parts):
    parts = shared_out(sizes, num_parts)
    assert [size for part in parts for size in sizes[part]] == sizes
    assert all(sizes[part] for part in parts)
    assert len(parts) <= num_parts
    if sizes:
        assert max(sum(sizes[part]) for part in parts) <= sum(sizes) / num_parts + 1.5 * max(sizes)


def test_parts_are_worked_on_at_once_and_come_back_in_order():
    lanes, together = Lanes(), threading.Barrier(3, timeout=10)
    lanes.open(3, 1)
    assert lanes.map(lambda part: (together.wait() >= 0, part), [5, 6, 7]) == [(True, 5), (True, 6), (True, 7)]


def test_a_lane_that_fails_is_heard_after_all_have_stopped():
    lanes, finished = Lanes(), []

    def work(part):
        if part == "bad":
            raise ValueError("bad part")
        finished.append(part)

    lanes.open(3, 1)
    with pytest.raises(ValueError, match="bad part"):
        lanes.map(work, ["one", "bad", "two"])
    assert sorted(finished) == ["one", "two"]


@pytest.mark.parametrize("name", ["llada-tiny-gqa", "dream-tiny"])
def test_lanes_change_no_bit(name):
    model, rng = load_model(GOLDEN / name), random.Random(name)
    canvases = random_canvases(rng)
    positions = [torch.arange(len(canvas)) for canvas in canvases]
    alone = predict_packed(model, canvases, positions)
    for count in (2, 3):
        model.lanes.open(count, 1)
        shared = predict_packed(model, canvases, positions)
        assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))
