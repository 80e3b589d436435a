"""Recorded generations of the original implementations, reproduced canvas by canvas (see tests/golden/README.md).

Where a reference batch is padded to the left, its rows are packed here without padding.
"""

from collections.abc import Sequence

import pytest
import torch
from safetensors.torch import load_file

from tests.members import GOLDEN, tiny
from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.denoising import Denoising
from tie_core.member import Member, Query
from tie_core.options import TieOptions, resolve_options
from tie_core.prediction import Prediction
from tie_core.scoring import History, Scope
from tie_core.tie import Decode

NUM_NEW = 32
GENERATIONS = [
    # file, checkpoint, what the reference was told
    ("llada_generate_steps32", "llada-tiny", {}),
    ("llada_generate_steps16", "llada-tiny", {"k": 2}),
    ("llada_generate_batch_leftpad", "llada-tiny", {}),
    ("llada_generate_confidence_eos_eot_inf", "llada-tiny", {"suppress_end": "confidence"}),
    ("llada_generate_logits_eos_inf", "llada-tiny", {"suppress_end": "prediction"}),
    *(
        (f"llada_fastdllm_threshold_{tau}", "llada-tiny", {"policy": "threshold", "tau": tau})
        for tau in (0.9, 0.3, 0.2, 0.02)
    ),
]
# Dream's own samplers follow schedules that TIE does not use, so their canvases are read, not reproduced.
READ = [
    "dream_generate_entropy_steps32",
    "dream_generate_entropy_steps16",
    "dream_generate_batch_leftpad",
    "dream_fastdllm_threshold_0.9_steps32",
    "dream_fastdllm_threshold_0.3_steps8",
    "dream_fastdllm_threshold_0.15_steps8",
]


def recorded(name: str) -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / f"{name}.safetensors")


def blank(prompt: torch.Tensor, mask_id: int, block_size: int) -> Canvas:
    return blank_canvas(tuple(prompt.tolist()), (), Layout(NUM_NEW, 0, 0, block_size, mask_id))


def blank_canvases(golden: dict[str, torch.Tensor], reader: Member, block_size: int) -> list[Canvas]:
    is_real = golden.get("attention_mask", torch.ones_like(golden["prompt_ids"])).bool()
    return [
        blank(prompt[real], reader.vocabulary.mask_id, block_size)
        for prompt, real in zip(golden["prompt_ids"], is_real, strict=True)
    ]


def generate(
    reader: Member, blanks: list[Canvas], options: TieOptions
) -> tuple[list[list[Canvas]], list[list[Prediction]]]:
    """Every canvas and prediction of every row, all rows in the same forwards."""
    history = History(Scope(blanks[0].layout.scored_region, reader.vocabulary.end_ids))
    jobs = [Denoising(Decode(0, canvas, history, None), options) for canvas in blanks]
    canvases, predictions = [[canvas] for canvas in blanks], [[] for _ in blanks]
    while not all(job.is_finished for job in jobs):
        for row, (job, prediction) in enumerate(zip(jobs, reader.predict([job.query for job in jobs]), strict=True)):
            assert isinstance(prediction, Prediction)
            job.accept(prediction)
            canvases[row].append(job.canvas)
            predictions[row].append(prediction)
    return canvases, predictions


@pytest.mark.parametrize(("name", "checkpoint", "told"), GENERATIONS, ids=[name for name, *_ in GENERATIONS])
def test_a_recorded_generation_is_reproduced_canvas_by_canvas(name, checkpoint, told, record_property):
    golden, reader = recorded(name), tiny(checkpoint)
    options = resolve_options({"task": "open", "gen_length": NUM_NEW, "block_size": 16, **told})
    blanks = blank_canvases(golden, reader, options.block_size)

    canvases, predictions = generate(reader, blanks, options)

    for row in range(len(blanks)):
        expected = golden["canvases"][:, row, -NUM_NEW:].tolist()
        assert [list(canvas.generated) for canvas in canvases[row]] == expected
        if options.suppress_end != "prediction":  # else the reference records what it changed
            check_statistics(golden, row, predictions[row])
    record_property("golden_canvases", len(blanks) * len(golden["canvases"]))


@pytest.mark.parametrize("name", READ)
def test_every_canvas_of_a_recorded_run_is_read_alike(name, record_property):
    golden, reader = recorded(name), tiny("dream-tiny")
    blanks = blank_canvases(golden, reader, NUM_NEW)
    num_steps = len(golden["step_argmax"])

    for row, canvas in enumerate(blanks):
        generated = golden["canvases"][:num_steps, row, -NUM_NEW:].tolist()
        steps = [canvas.with_generated(tuple(ids), 0) for ids in generated]
        predictions = reader.predict([Query(step, step.watched, "off") for step in steps])
        check_statistics(golden, row, predictions)
    record_property("golden_canvases", len(blanks) * num_steps)


def check_statistics(golden: dict[str, torch.Tensor], row: int, predictions: Sequence[object]) -> None:
    """The argmax is the reference's; probabilities and entropy are equal within float32's noise."""
    for step, prediction in enumerate(predictions):
        assert isinstance(prediction, Prediction)
        at = [position - NUM_NEW for position in prediction.positions]
        assert list(prediction.tokens) == golden["step_argmax"][step, row, at].tolist()
        top1, top2 = golden["step_top1_prob"][step, row, at], golden["step_top2_prob"][step, row, at]
        entropy = golden["step_neg_entropy"][step, row, at]
        torch.testing.assert_close(torch.tensor(prediction.top1), top1, atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.tensor(prediction.margin), top1 - top2, atol=2e-5, rtol=0)
        torch.testing.assert_close(torch.tensor(prediction.negative_entropy), entropy, atol=1e-4, rtol=0)
