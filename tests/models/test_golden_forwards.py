"""Every recorded forward pass of the reference implementations is reproduced."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tie_core.models.loading import load_model
from tie_core.models.mask_predictor import MaskPredictor

FLOAT32_TOLERANCE = 5e-5
RECORDINGS = {
    "llada-tiny": "llada_forward",
    "llada-tiny-gqa": "llada_gqa_forward",
    "dream-tiny": "dream_forward",
    "a2d-qwen3-tiny": "a2d_qwen3_forward",
}
FORWARDS = [
    ("llada-tiny", ""),
    ("llada-tiny", "_left"),
    ("llada-tiny", "_right"),
    ("llada-tiny-gqa", ""),
    ("dream-tiny", ""),
    ("dream-tiny", "_left"),
    ("dream-tiny", "_right"),
    ("a2d-qwen3-tiny", ""),
    ("a2d-qwen3-tiny", "_left"),
]

Predictor = Callable[[str], MaskPredictor]
Record = Callable[[str, object], None]


def recording(golden: Path, name: str) -> dict[str, Tensor]:
    return load_file(golden / f"{RECORDINGS[name]}.safetensors")


def shifted(logits: Tensor) -> Tensor:
    """Row i predicts position i + 1; position 0 reads its own row."""
    return torch.cat([logits[:, :1], logits[:, :-1]], dim=1)


@pytest.mark.parametrize(("name", "padding"), FORWARDS)
def test_logits_equal_the_recorded_forward(
    name: str, padding: str, golden: Path, predictor: Predictor, record_property: Record
) -> None:
    recorded = recording(golden, name)
    mask = recorded.get(f"attention_mask{padding}")
    logits = predictor(name).logits(recorded[f"input_ids{padding}"], mask)
    errors = (logits - recorded[f"logits{padding}"]).abs()
    error = float((errors if mask is None else errors[mask.bool()]).max())
    assert error < FLOAT32_TOLERANCE
    record_property("golden_error", error)


@pytest.mark.parametrize(("name", "padding"), FORWARDS)
def test_packed_predictions_equal_the_recorded_forward(
    name: str, padding: str, golden: Path, predictor: Predictor, record_property: Record
) -> None:
    model, recorded = predictor(name), recording(golden, name)
    ids, logits = recorded[f"input_ids{padding}"], recorded[f"logits{padding}"]
    is_real = recorded.get(f"attention_mask{padding}", torch.ones_like(ids)).bool()
    rows = [row[real] for row, real in zip(logits, is_real, strict=True)]
    if model.logits_are_shifted:
        rows = [shifted(row[None])[0] for row in rows]
    lengths = is_real.sum(dim=1).tolist()
    predictions = model.predict(ids[is_real], lengths, torch.arange(sum(lengths)))
    error = float((predictions - torch.cat(rows)).abs().max())
    assert error < FLOAT32_TOLERANCE
    record_property("golden_error", error)


def test_dream_predicts_a_position_one_row_to_the_left(
    golden: Path, predictor: Predictor, record_property: Record
) -> None:
    recorded = recording(golden, "dream-tiny")
    ids, expected = recorded["input_ids"], recorded["logits_shifted_argmax"]
    assert predictor("dream-tiny").logits_are_shifted
    predictions = predictor("dream-tiny").predict(ids.flatten(), [ids.shape[1]] * len(ids), torch.arange(ids.numel()))
    assert torch.equal(predictions.argmax(dim=-1), expected.flatten())
    record_property("golden_error", 0.0)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("llada-tiny", 0.25),  # the reference rotates in float32, transformers in the model's dtype
        ("dream-tiny", 0.02),  # CPUs multiply in bfloat16 each in its own way
    ],
)
def test_bfloat16_stays_near_the_recorded_forward(name: str, tolerance: float, golden: Path) -> None:
    recorded = recording(golden, name)
    logits = load_model(golden / name, dtype="bfloat16").logits(recorded["input_ids"])
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - recorded["logits_bf16"].float()).abs().max() <= tolerance


def test_an_all_ones_mask_is_no_mask(golden: Path, predictor: Predictor) -> None:
    ids = recording(golden, "llada-tiny")["input_ids"]
    model = predictor("llada-tiny")
    assert torch.equal(model.logits(ids, torch.ones_like(ids)), model.logits(ids))
