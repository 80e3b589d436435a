"""What a model takes is known before it is loaded, and the formula agrees with the allocator's own count."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.member import Member, Query, load_member
from tie_core.models.dtypes import DTYPES as DTYPES_BY_NAME
from tie_core.models.footprint import LOGIT_BYTES, read_footprint
from tie_core.models.loading import load_model
from tie_core.prediction import EndTokens
from tie_core.testing.folders import peak_bytes
from tie_core.tiles import TiledHead, most_logits
from tie_core.zoo import MEMBERS, member_path

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = {name: GOLDEN / name for name in ("llada-tiny", "llada-tiny-gqa", "dream-tiny", "a2d-qwen3-tiny")}
FOLDERS |= {name: member_path(name) for name in MEMBERS}
DTYPES = ("float32", "bfloat16")
SPARE = {"float32": 1.15, "bfloat16": 1.3}  # so many times what the allocator counts the formula may say


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FOLDERS)
def test_the_weights_are_known_before_they_are_read(name: str, dtype: str) -> None:
    assert read_footprint(FOLDERS[name], dtype) == load_model(FOLDERS[name], dtype=dtype).footprint
    assert read_footprint(FOLDERS[name], dtype).weights_bytes == load_model(FOLDERS[name], dtype=dtype).weights_bytes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FOLDERS)
def test_a_position_takes_what_the_formula_says(name: str, dtype: str, figure: Callable[[str], None]) -> None:
    model = load_model(FOLDERS[name], dtype=dtype)

    def peak_of(num_positions: int, lengths: list[int]) -> int:
        ids = torch.arange(num_positions) % model.vocab_rows
        return peak_bytes(lambda: model.predict(ids, lengths * (num_positions // sum(lengths)), torch.arange(1)))

    measured, mixed = ((peak_of(2048, lengths) - peak_of(512, lengths)) / 1536 for lengths in ([64], [48, 80]))

    figure(f"footprint: {name} {dtype}: {measured:,.0f} bytes a position, computed {model.footprint.position_bytes:,}")
    assert max(measured, mixed) <= model.footprint.position_bytes <= SPARE[dtype] * measured


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suppress_end", ["off", "confidence"])
def test_a_forward_takes_no_more_than_the_formula_says(
    suppress_end: str, dtype: str, figure: Callable[[str], None]
) -> None:
    """With more watched positions than are read at once."""
    member = load_member("zoo-dream", member_path("zoo-dream"), dtype=dtype)
    canvas = _masked(member, 768, num_masked=640)

    taken = peak_bytes(lambda: member.predict([Query(canvas, canvas.watched, suppress_end)]))

    footprint = member.model.footprint
    computed = footprint.activation_bytes(768, most_logits(footprint.vocab_rows, member.model.device))
    figure(f"footprint: a forward of 768 positions, {dtype}, {suppress_end}: {taken:,} bytes, computed {computed:,}")
    assert taken <= computed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suppress_end", ["off", "confidence", "prediction"])
def test_a_tile_takes_no_more_than_the_formula_says(suppress_end: str, dtype: str) -> None:
    num_tokens, width = 2_048, 64
    weight = torch.randn(num_tokens, width, dtype=DTYPES_BY_NAME[dtype])
    hidden = torch.randn(256, width, dtype=DTYPES_BY_NAME[dtype])
    head = TiledHead(weight, (7,), EndTokens(eos_id=3, end_ids=(3, 5)))

    taken = peak_bytes(lambda: head.statistics(hidden, suppress_end))

    assert 0.5 * 256 * num_tokens * LOGIT_BYTES < taken
    assert taken <= 256 * num_tokens * LOGIT_BYTES * 1.1 + hidden.nbytes


def _masked(member: Member, length: int, num_masked: int) -> Canvas:
    layout = Layout(num_masked, 0, 0, num_masked, member.vocabulary.mask_id)
    return blank_canvas((member.vocabulary.eos_id,) * (length - num_masked), (), layout)


def test_the_cache_is_the_keys_and_values_of_all_layers() -> None:
    footprint = read_footprint(member_path("zoo-dream"), "bfloat16")

    assert footprint.cache_bytes == 2 * 2 * (2 * 32) * 4  # K and V, two bytes, two heads of 32, four layers
