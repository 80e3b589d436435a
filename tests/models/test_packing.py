"""Packed canvases are predicted as each would be alone: near the plain path, and bit for bit among any others."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tie_core.models import invariance, mask_predictor
from tie_core.models.loading import load_model
from tie_core.models.mask_predictor import MaskPredictor

NAMES = ["llada-tiny", "llada-tiny-gqa", "dream-tiny", "a2d-qwen3-tiny"]
NUM_TOKENS = 512

Predictor = Callable[[str], MaskPredictor]
Threads = Callable[[int], AbstractContextManager[None]]


def random_canvases(rng: random.Random, num_tokens: int = NUM_TOKENS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rng.randrange(2**32))
    lengths = [rng.randint(5, 200) for _ in range(rng.randint(2, 16))]
    return [torch.randint(num_tokens, (length,), generator=generator) for length in lengths]


def random_positions(rng: random.Random, canvas: Tensor) -> Tensor:
    return torch.tensor(rng.sample(range(len(canvas)), rng.randint(1, len(canvas))))


def predict_packed(model: MaskPredictor, canvases: list[Tensor], positions: list[Tensor]) -> list[Tensor]:
    lengths = [len(canvas) for canvas in canvases]
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    flat = torch.cat([start + chosen for start, chosen in zip(starts, positions, strict=True)])
    rows = model.predict(torch.cat(canvases), lengths, flat)
    return list(rows.split([len(chosen) for chosen in positions]))


def count_differences(model: MaskPredictor, rng: random.Random, num_cases: int) -> tuple[int, int]:
    """Over random packings of random canvases: how many predictions were compared, and how many differ in a bit."""
    num_compared = num_different = 0
    for _ in range(num_cases):
        canvases = random_canvases(rng, min(NUM_TOKENS, model.vocab_rows))
        positions = [random_positions(rng, canvas) for canvas in canvases]
        alone = [predict_packed(model, [canvas], [p])[0] for canvas, p in zip(canvases, positions, strict=True)]
        for _ in range(2):
            order = rng.sample(range(len(canvases)), rng.randint(2, len(canvases)))
            among = predict_packed(model, [canvases[i] for i in order], [positions[i] for i in order])
            num_compared += len(order)
            num_different += sum(not torch.equal(alone[i], rows) for i, rows in zip(order, among, strict=True))
    return num_compared, num_different


@pytest.mark.parametrize(("num_threads", "num_cases"), [(1, 12), (2, 1)])
@pytest.mark.parametrize("name", NAMES)
def test_a_canvas_is_predicted_bit_for_bit_as_alone(
    name: str, num_threads: int, num_cases: int, predictor: Predictor, threads: Threads
) -> None:
    with threads(num_threads):
        num_compared, num_different = count_differences(
            predictor(name), random.Random(f"{name}{num_threads}"), num_cases
        )
    assert num_compared > 5 * num_cases
    assert num_different == 0


@pytest.mark.parametrize(("num_threads", "num_cases"), [(1, 12), (2, 1)])
def test_odd_widths_are_predicted_bit_for_bit_as_alone(
    num_threads: int, num_cases: int, odd_checkpoint: Path, threads: Threads
) -> None:
    model = load_model(odd_checkpoint)
    with threads(num_threads):
        _, num_different = count_differences(model, random.Random(num_threads), num_cases)
    assert num_different == 0


@pytest.mark.parametrize("name", NAMES)
def test_one_thread_and_two_give_the_same_bits(name: str, predictor: Predictor, threads: Threads) -> None:
    """So which of them a worker finds to pay changes no answer. Three or more use the other form of SiLU."""
    model, rng = predictor(name), random.Random(name)
    canvases = random_canvases(rng)
    positions = [torch.arange(len(canvas)) for canvas in canvases]
    with threads(1):
        alone = predict_packed(model, canvases, positions)
    with threads(2):
        shared = predict_packed(model, canvases, positions)
    assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))


@pytest.mark.parametrize("num_positions", [1, 2, 3, 5, 17])
def test_a_prediction_does_not_depend_on_the_other_positions(num_positions: int, predictor: Predictor) -> None:
    model, canvas = predictor("dream-tiny"), torch.arange(60)
    everywhere = model.predict(canvas, [60], torch.arange(60))
    chosen = torch.arange(7, 7 + num_positions)
    assert torch.equal(model.predict(canvas, [60], chosen), everywhere[chosen])


def test_the_comparison_notices_matrix_products_with_few_rows(
    odd_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seeded bug: without filler rows the promise is broken, and the tests above would say so."""
    model = load_model(odd_checkpoint)
    monkeypatch.setattr(mask_predictor, "num_filler_rows", lambda *_: 0)
    assert count_differences(model, random.Random(1), 12)[1] > 0


@pytest.mark.parametrize("width", [6, 7, 96, 768])
def test_activations_depend_neither_on_their_place_nor_on_threads(width: int, threads: Threads) -> None:
    activation, multiple = invariance.RowwiseSiLU(), invariance.ROW_MULTIPLE
    gate = torch.randn(40 * multiple, width, generator=torch.Generator().manual_seed(1)) * 4
    with threads(1):
        whole = activation(gate)
    for num_threads in (1, 2, 3, 5):
        with threads(num_threads):
            starts = range(0, len(gate), multiple)
            assert all(torch.equal(activation(gate[start:]), whole[start:]) for start in starts)
            assert torch.allclose(whole, torch.nn.functional.silu(gate), atol=1e-6)


def test_the_fused_activation_depends_on_its_place(threads: Threads) -> None:
    """Why it is not used where it has a tail."""
    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("seen with vectors of 512 bits alone")
    gate = torch.randn(100_003, generator=torch.Generator().manual_seed(1)) * 4
    fused = torch.nn.functional.silu
    with threads(1):
        assert any(not torch.equal(fused(gate[start:]), fused(gate)[start:]) for start in range(40))


@pytest.mark.parametrize("name", NAMES)
def test_packed_predictions_equal_the_plain_path(name: str, predictor: Predictor) -> None:
    model, rng = predictor(name), random.Random(name)
    canvases = random_canvases(rng)
    positions = [random_positions(rng, canvas) for canvas in canvases]
    packed = predict_packed(model, canvases, positions)
    for canvas, chosen, rows in zip(canvases, positions, packed, strict=True):
        logits = model.logits(canvas[None])[0]
        if model.logits_are_shifted:
            logits = torch.cat([logits[:1], logits[:-1]])
        assert (rows - logits[chosen]).abs().max() < 5e-5
        assert torch.equal(rows.argmax(dim=-1), logits[chosen].argmax(dim=-1))


@pytest.mark.parametrize("name", ["llada-tiny", "dream-tiny"])
def test_canvases_do_not_see_each_other(name: str, predictor: Predictor) -> None:
    model, first = predictor(name), torch.arange(20)
    chosen = torch.arange(20)
    with_one = model.predict(torch.cat([first, torch.arange(50)]), [20, 50], chosen)
    with_another = model.predict(torch.cat([first, torch.arange(100, 150)]), [20, 50], chosen)
    assert torch.equal(with_one, with_another)


def test_the_first_position_of_a_shifted_canvas_reads_its_own_row(predictor: Predictor) -> None:
    model, ids = predictor("dream-tiny"), torch.arange(40)
    logits = model.logits(ids[None, 20:])[0]
    predictions = model.predict(ids, [20, 20], torch.tensor([20, 21, 22]))
    assert torch.allclose(predictions, logits[[0, 0, 1]], atol=5e-5)


def test_no_positions_give_no_rows(predictor: Predictor) -> None:
    model = predictor("llada-tiny")
    assert model.predict(torch.arange(8), [8], torch.arange(0)).shape == (0, model.vocab_rows)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17])
def test_a_canvas_of_any_length_is_predicted(length: int, predictor: Predictor) -> None:
    model = predictor("dream-tiny")
    predictions = model.predict(torch.arange(length), [length], torch.tensor([length - 1]))
    row = max(length - 2, 0)
    assert torch.allclose(predictions[0], model.logits(torch.arange(length)[None])[0, row], atol=5e-5)


def test_nothing_records_gradients(predictor: Predictor) -> None:
    model = predictor("llada-tiny")
    assert model.predict(torch.arange(8), [8], torch.arange(8)).is_inference()
    assert model.logits(torch.arange(8)[None]).is_inference()
