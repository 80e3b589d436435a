"""The formulas, on numbers that can be worked out by hand."""

import pytest

from bench.checkpoints import family_of
from bench.cost_model import SHAPES, Device, Plan, Shape, request_flops, request_seconds, shape_of
from tests.members import GOLDEN, tiny

SMALL = Shape(width=4, num_layers=1, num_heads=2, num_kv_heads=1, mlp_width=8, num_rows=10)
PLAN = Plan(prompt=10, generated=8, answer=2, block=4, interval=2)


def test_a_shape_counts_its_parameters() -> None:
    assert SMALL.body_parameters == 4 * 4 + 4 * 4 + 2 * 4 * 2 + 3 * 4 * 8
    assert SMALL.position_flops(5) == 2 * SMALL.body_parameters + 4 * 4 * 5
    assert SMALL.row_flops == 2 * 4 * 10


@pytest.mark.parametrize("name", ["llada-tiny", "llada-tiny-gqa", "dream-tiny"])
def test_the_shape_of_a_checkpoint_has_its_parameters(name: str) -> None:
    shape = shape_of(family_of(GOLDEN / name)[1])

    counted = shape.body_parameters + 2 * shape.head_parameters

    assert counted == pytest.approx(tiny(name).model.num_parameters, rel=0.01)  # norms and biases are left out


@pytest.mark.parametrize(("name", "billions"), [("LLaDA-8B", 8.0), ("Dream-7B", 7.6)])
def test_the_published_shapes_have_their_published_sizes(name: str, billions: float) -> None:
    assert SHAPES[name].weight_bytes / 2e9 == pytest.approx(billions, rel=0.01)


def test_an_exact_request_reads_its_canvas_in_every_step() -> None:
    assert (PLAN.steps, PLAN.rounds) == (8, 3)
    assert PLAN.positions(num_members=2) == 8 * 18


def test_a_cached_request_reads_its_canvas_once_a_round() -> None:
    cached = Plan(prompt=10, generated=8, answer=2, block=4, interval=2, is_cached=True)

    assert cached.positions(num_members=2) == 4 * 18 + 4 * (4 + 2)


def test_cross_model_scores_add_m_minus_1_readings_a_round_to_each_member() -> None:
    crossed = Plan(prompt=10, generated=8, answer=2, block=4, interval=2, is_cross_model=True)

    assert crossed.positions(num_members=3) - PLAN.positions(num_members=3) == 3 * 2 * 18


def test_a_small_forward_takes_as_long_as_reading_the_weights() -> None:
    slow_memory = Device("slow memory", flops=1e12, bandwidth=1.0, memory=1e9)
    slow_arithmetic = Device("slow arithmetic", flops=1.0, bandwidth=1e12, memory=1e9)

    by_reading = request_seconds(SMALL, PLAN, slow_memory, num_members=2)
    by_computing = request_seconds(SMALL, PLAN, slow_arithmetic, num_members=2)

    assert by_reading == pytest.approx(8 * SMALL.read_bytes)
    assert by_computing == pytest.approx(2 * request_flops(SMALL, PLAN, num_members=2))
