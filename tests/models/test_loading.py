"""A checkpoint's own files decide what is loaded: weights, sizes, tokens; nothing else is read, run or fetched."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tie_core.errors import UnsupportedModelError
from tie_core.models.families import FAMILIES
from tie_core.models.loading import load_model
from tie_core.models.mask_predictor import MaskPredictor

Alter = Callable[..., Path]
Predictor = Callable[[str], MaskPredictor]


@pytest.mark.parametrize(
    ("name", "family", "is_shifted", "mask_id", "eos_id", "end_of_turn"),
    [
        ("llada-tiny", "llada", False, 516, 513, 525),
        ("llada-tiny-gqa", "llada", False, 516, 513, 525),
        ("dream-tiny", "dream", True, 535, 512, 514),
    ],
)
def test_family_and_tokens_come_from_the_checkpoint(
    name: str, family: str, is_shifted: bool, mask_id: int, eos_id: int, end_of_turn: int, predictor: Predictor
) -> None:
    model = predictor(name)
    assert (model.family, model.logits_are_shifted) == (family, is_shifted)
    assert (model.mask_id, model.eos_id, model.pad_id) == (mask_id, eos_id, eos_id)
    assert model.token_ids.end_of_turn == end_of_turn
    assert model.vocab_rows == 544


def test_a_predictor_says_how_large_it_is(golden: Path, predictor: Predictor) -> None:
    model = predictor("llada-tiny")
    stored = load_file(golden / "llada-tiny" / "model.safetensors")
    assert model.num_parameters == sum(tensor.numel() for tensor in stored.values())
    assert model.weights_bytes == 4 * model.num_parameters
    assert model.max_positions == 256
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)


def test_a_tied_head_counts_once(golden: Path, predictor: Predictor) -> None:
    stored = load_file(golden / "a2d-qwen3-tiny" / "model.safetensors")
    assert predictor("a2d-qwen3-tiny").num_parameters == sum(tensor.numel() for tensor in stored.values())


def test_a_stored_head_is_used_though_the_configuration_ties_it(altered: Alter, predictor: Predictor) -> None:
    folder = altered("a2d-qwen3-tiny")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = 2 * weights["model.embed_tokens.weight"]
    save_file(weights, folder / "model.safetensors")
    ids = torch.arange(20)[None]
    assert torch.allclose(load_model(folder).logits(ids), 2 * predictor("a2d-qwen3-tiny").logits(ids), atol=1e-4)


@pytest.mark.parametrize("tied_name", ["llada-tiny", "dream-tiny"])
def test_every_family_can_be_tied(tied_name: str, altered: Alter) -> None:
    folder = altered(tied_name, weight_tying=True, tie_word_embeddings=True)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight" if tied_name == "dream-tiny" else "model.transformer.ff_out.weight"]
    save_file(weights, folder / "model.safetensors")
    assert load_model(folder).logits(torch.arange(9)[None]).shape == (1, 9, 544)


@pytest.mark.parametrize(("asked", "dtype"), [("bfloat16", torch.bfloat16), (torch.float16, torch.float16)])
def test_the_dtype_is_the_callers_and_rotation_stays_in_float32(
    asked: str | torch.dtype, dtype: torch.dtype, golden: Path
) -> None:
    model = load_model(golden / "dream-tiny", dtype=asked)
    assert model.dtype == dtype
    assert model.weights_bytes == 2 * model.num_parameters
    assert model.predict(torch.arange(8), [8], torch.arange(8)).dtype == dtype
    assert model._decoder.rotary_emb.inv_freq.dtype == torch.float32
    assert model._decoder.rotary_emb.inv_freq[1] != model._decoder.rotary_emb.inv_freq.to(dtype)[1]


def test_weights_are_independent_of_the_file_once_loaded(altered: Alter) -> None:
    folder = altered("dream-tiny")
    model, ids = load_model(folder), torch.arange(12)[None]
    before = model.logits(ids)
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:  # in place: a mapped view would change with it
        stream.write(bytes(file.stat().st_size))
    assert torch.equal(model.logits(ids), before)


def test_nothing_of_the_checkpoints_own_code_is_run(altered: Alter) -> None:
    folder = altered("llada-tiny")
    for name in ("modeling_llada.py", "configuration_llada.py"):
        (folder / name).write_text("raise SystemExit('remote code was run')")
    assert load_model(folder).family == "llada"


def test_nothing_is_fetched(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_model(str(golden / "dream-tiny")).family == "dream"


def test_newer_configurations_state_the_rotary_base_elsewhere(altered: Alter, predictor: Predictor) -> None:
    folder = altered("dream-tiny", rope_theta=None, rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0})
    ids = torch.arange(12)[None]
    assert torch.equal(load_model(folder).logits(ids), predictor("dream-tiny").logits(ids))


def test_the_mask_token_of_a2d_is_the_tokenizers(altered: Alter) -> None:
    folder = altered("a2d-qwen3-tiny")
    (folder / "added_tokens.json").write_text(json.dumps({"<|mask|>": 535, "<|im_end|>": 514}))
    token_ids = load_model(folder).token_ids
    assert (token_ids.mask, token_ids.end_of_turn) == (535, 514)


def test_a_folder_without_tokenizer_files_has_no_mask_token_to_give(predictor: Predictor) -> None:
    with pytest.raises(UnsupportedModelError, match="names no mask token and has no tokenizer files"):
        _ = predictor("a2d-qwen3-tiny").mask_id


def test_families_are_listed_with_what_they_cover() -> None:
    assert list(FAMILIES) == ["llada", "dream", "a2d-qwen3"]
    assert all(family.name == name and family.description for name, family in FAMILIES.items())


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_cuda_device_agrees_with_the_cpu(dtype: str, golden: Path, predictor: Predictor) -> None:
    model = load_model(golden / "dream-tiny", device="cuda", dtype=dtype)
    ids, positions = torch.arange(70), torch.arange(70)
    on_cpu = predictor("dream-tiny").predict(ids, [30, 40], positions)
    on_device = model.predict(ids, [30, 40], positions).float().cpu()
    assert torch.allclose(on_device, on_cpu, atol=1e-3 if dtype == "float32" else 0.5)
