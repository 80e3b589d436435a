"""What a model takes is known before it is loaded, and the formula agrees with the allocator's own count."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from tie_core.canvas import Layout, blank_canvas
from tie_core.member import Member, Query, load_member
from tie_core.models import load_model
from tie_core.models.footprint import Footprint
from tie_core.models.loading import read_footprint
from tie_core.zoo import MEMBERS, member_path

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = {name: GOLDEN / name for name in ("llada-tiny", "llada-tiny-gqa", "dream-tiny", "a2d-qwen3-tiny")}
FOLDERS |= {name: member_path(name) for name in MEMBERS}
DTYPES = ("float32", "bfloat16")
SPARE = 1.35  # how much more than the allocator counts the formula may say


def peak_bytes(forward: Callable[[], object]) -> int:
    """The most bytes that were allocated at once during a forward, by the allocator's events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        forward()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FOLDERS)
def test_the_weights_are_known_before_they_are_read(name: str, dtype: str) -> None:
    assert read_footprint(FOLDERS[name], dtype) == load_model(FOLDERS[name], dtype=dtype).footprint
    assert read_footprint(FOLDERS[name], dtype).weights_bytes == load_model(FOLDERS[name], dtype=dtype).weights_bytes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FOLDERS)
def test_a_position_takes_what_the_formula_says(name: str, dtype: str, figure: Callable[[str], None]) -> None:
    model = load_model(FOLDERS[name], dtype=dtype)

    def peak_of(num_positions: int) -> int:
        ids = torch.arange(num_positions) % model.vocab_rows
        return peak_bytes(lambda: model.predict(ids, [64] * (num_positions // 64), torch.arange(1)))

    measured = (peak_of(2048) - peak_of(512)) / 1536

    figure(f"footprint: {name} {dtype}: {measured:,.0f} bytes a position, computed {model.footprint.position_bytes:,}")
    assert 0.99 * measured <= model.footprint.position_bytes <= SPARE * measured


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suppress_end", ["off", "confidence"])
def test_a_row_of_the_head_takes_no_more_than_the_formula_says(suppress_end: str, dtype: str) -> None:
    member = load_member("zoo-dream", member_path("zoo-dream"), dtype=dtype)
    canvases = [_masked(member, num_masked) for num_masked in (128, 640)]

    few, many = (peak_bytes(lambda query=query: member.predict([query])) for query in _queries(canvases, suppress_end))

    assert (many - few) / 512 <= member.model.footprint.row_bytes


def _masked(member: Member, num_masked: int) -> object:
    layout = Layout(num_masked, 0, 0, num_masked, member.vocabulary.mask_id)
    return blank_canvas((member.vocabulary.eos_id,) * (768 - num_masked), (), layout)


def _queries(canvases: list, suppress_end: str) -> list[Query]:
    return [Query(canvas, canvas.watched, suppress_end) for canvas in canvases]


def test_the_cache_is_the_keys_and_values_of_all_layers() -> None:
    footprint = read_footprint(member_path("zoo-dream"), "bfloat16")

    assert footprint.cache_bytes == 2 * 2 * (2 * 32) * 4  # K and V, two bytes, two heads of 32, four layers


def test_logits_take_memory_for_the_rows_that_are_read_at_once() -> None:
    footprint = Footprint(weights_bytes=0, position_bytes=10, row_bytes=1_000, cache_bytes=0)

    assert footprint.activation_bytes(100, num_rows=8) == 1_000 + 8_000
    assert footprint.activation_bytes(4, num_rows=8) == 40 + 4_000
