"""Models are placed by figures before anything is loaded, and refused with them."""

import pytest

from tie_core.engine.devices import Device, choose_device, find_devices
from tie_core.engine.placement import Wish, activation_bytes, make_plan, readable
from tie_core.errors import PlacementError
from tie_core.models.footprint import LOGIT_BYTES, Footprint

CPU = Device("cpu", "", 64 * 10**9, 32 * 10**9)
CUDA = Device("cuda:0", "", 20 * 10**9, int(18.6e9))
HERE = (CPU, CUDA)
LARGE = Footprint(weights_bytes=int(16.1e9), position_bytes=400_000, cache_bytes=500_000, vocab_rows=100_000)
SMALL = Footprint(weights_bytes=5 * 10**9, position_bytes=400_000, cache_bytes=500_000, vocab_rows=100_000)


def refusal(*wishes: Wish, max_batch_positions: int | None = None) -> str:
    plan = make_plan(wishes, HERE, max_batch_positions)
    with pytest.raises(PlacementError) as caught:
        plan.check()
    return str(caught.value)


def test_what_fits_is_placed() -> None:
    plan = make_plan([Wish("a", "cpu", "float32", LARGE), Wish("b", "cuda", "bfloat16", SMALL)], HERE)

    plan.check()
    assert [(placement.name, placement.device.name) for placement in plan.placements] == [("a", "cpu"), ("b", "cuda:0")]
    assert plan.placements[1].activation_bytes == 4096 * 400_000 + 256 * 100_000 * LOGIT_BYTES


def test_on_the_cpu_fewer_logits_are_in_memory_than_on_cuda() -> None:
    on_cpu, on_cuda = (activation_bytes(SMALL, 0, device) for device in ("cpu", "cuda:0"))

    assert (on_cpu, on_cuda) == (256 * 5_120 * LOGIT_BYTES, 256 * 100_000 * LOGIT_BYTES)


def test_what_does_not_fit_is_refused_with_the_figures_and_a_way_out() -> None:
    said = refusal(Wish("llada", "cuda:0", "float32", LARGE))

    assert said == (
        "llada needs 16.1 GB of weights + 2.0 GB of activations + 2.0 GB of keys and values on cuda:0, which has"
        " 18.6 GB free: use dtype bfloat16, another device or a smaller limits.max_batch_positions"
    )


def test_a_small_dtype_is_not_told_to_become_one() -> None:
    assert "use another device or a smaller limits" in refusal(Wish("llada", "cuda:0", "bfloat16", LARGE))


def test_what_weights_alone_exceed_no_smaller_forward_will_fit() -> None:
    alone = Footprint(weights_bytes=30 * 10**9, position_bytes=1, cache_bytes=1, vocab_rows=100)

    assert refusal(Wish("llada", "cuda:0", "bfloat16", alone)).endswith("free: use another device")


def test_models_that_share_a_device_must_fit_it_together() -> None:
    wishes = [Wish(name, "cuda:0", "bfloat16", SMALL) for name in ("a", "b", "c")]

    make_plan(wishes[:2], HERE).check()
    said = refusal(*wishes)
    assert "a needs 5.0 GB of weights + 2.0 GB of activations + 2.0 GB of keys and values and b needs" in said
    assert said.count("on cuda:0") == 1


def test_a_limit_on_the_positions_of_a_forward_makes_room() -> None:
    wishes = [Wish(name, "cuda:0", "bfloat16", SMALL) for name in ("a", "b")]

    assert "18.6 GB free" in refusal(*wishes, max_batch_positions=16_384)
    make_plan(wishes, HERE, max_batch_positions=1024).check()


def test_a_device_that_is_not_here_is_answered_with_those_that_are() -> None:
    said = refusal(Wish("a", "cuda:1", "float32", SMALL))

    assert said.startswith("a: device 'cuda:1' is not here: choose one of cpu, cuda:0")


def test_every_model_that_cannot_be_placed_is_named() -> None:
    said = refusal(Wish("a", "cuda:1", "float32", SMALL), Wish("b", "cuda:0", "float32", LARGE))

    assert "a: device" in said
    assert "b needs" in said


def test_the_cpu_is_here() -> None:
    assert choose_device("cpu", find_devices()).free_bytes > 0


@pytest.mark.parametrize(
    ("num_bytes", "said"), [(16_100_000_000, "16.1 GB"), (3_800_000, "3.8 MB"), (1_200_000_000_000, "1,200.0 GB")]
)
def test_sizes_are_readable(num_bytes: int, said: str) -> None:
    assert readable(num_bytes) == said
