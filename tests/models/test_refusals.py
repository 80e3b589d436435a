"""What cannot be ensembled, or cannot be loaded, is refused with what was asked, what is allowed and what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tie_core.errors import CheckpointError, PlacementError, UnsupportedModelError
from tie_core.models.loading import load_model

Alter = Callable[..., Path]


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("llada2_moe", "LLaDA2MoeModelLM"),
        ("sdar", "SDARForCausalLM"),
        ("sdar_moe", "SDARMoeForCausalLM"),
        ("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM"),
        ("diffusion_gemma", "DiffusionGemmaForBlockDiffusion"),
    ],
)
def test_block_causal_models_are_refused_with_the_reason(model_type: str, architecture: str, altered: Alter) -> None:
    folder = altered("dream-tiny", model_type=model_type, architectures=[architecture])
    with pytest.raises(UnsupportedModelError, match=r"block-causal.* so the answer cannot be probed"):
        load_model(folder)


@pytest.mark.parametrize(
    "fields",
    [
        {"architectures": ["LLaDAMoEModelLM"]},
        {"num_experts": 64},
        {"architectures": ["LLaDAMoEModelLM"], "num_experts": 64, "expert_intermediate_size": 1024},
    ],
)
def test_llada_moe_is_refused_though_it_calls_itself_llada(fields: dict[str, Any], altered: Alter) -> None:
    with pytest.raises(UnsupportedModelError, match="mixture of experts"):
        load_model(altered("llada-tiny", **fields))


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [("llama", "LlamaForCausalLM"), ("qwen2", "Qwen2ForCausalLM"), ("qwen3", "Qwen3ForCausalLM")],
)
def test_autoregressive_models_are_refused(model_type: str, architecture: str, altered: Alter) -> None:
    folder = altered("dream-tiny", model_type=model_type, architectures=[architecture])
    with pytest.raises(UnsupportedModelError, match=r"autoregressive.*use one of llada, dream, a2d-qwen3"):
        load_model(folder)


@pytest.mark.parametrize("architectures", [None, [], ["SomethingElse"]])
def test_the_architecture_must_be_the_familys(architectures: list[str] | None, altered: Alter) -> None:
    with pytest.raises(UnsupportedModelError, match="LLaDAModelLM"):
        load_model(altered("llada-tiny", architectures=architectures))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alibi", True),
        ("block_type", "sequential"),
        ("block_type", None),
        ("layer_norm_type", "low_precision"),
        ("scale_logits", True),
        ("input_emb_norm", True),
        ("include_bias", True),
        ("include_qkv_bias", True),
        ("bias_for_layer_norm", True),
        ("attention_layer_norm", True),
        ("multi_query_attention", True),
        ("rope", False),
        ("activation_type", "gelu"),
        ("rope_scaling", {"factor": 2.0}),
        ("quantization_config", {"quant_method": "gptq"}),
    ],
)
def test_variants_of_llada_are_refused_by_name(field: str, value: object, altered: Alter) -> None:
    with pytest.raises(UnsupportedModelError, match=rf"{field} = .*covered is .*use another checkpoint"):
        load_model(altered("llada-tiny", **{field: value}))


@pytest.mark.parametrize("name", ["dream-tiny", "a2d-qwen3-tiny"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("use_sliding_window", True), ("hidden_act", "gelu"), ("rope_scaling", {"rope_type": "yarn", "factor": 4.0})],
)
def test_variants_of_qwen_are_refused_by_name(name: str, field: str, value: object, altered: Alter) -> None:
    with pytest.raises(UnsupportedModelError, match=field):
        load_model(altered(name, **{field: value}))


@pytest.mark.parametrize("name", ["llada-tiny", "dream-tiny"])
def test_a_configuration_without_a_mask_token_is_refused(name: str, altered: Alter) -> None:
    with pytest.raises(UnsupportedModelError, match="no mask token"):
        load_model(altered(name, mask_token_id=None))


def test_a_tokenizer_without_a_mask_token_is_refused(altered: Alter) -> None:
    folder = altered("a2d-qwen3-tiny")
    (folder / "added_tokens.json").write_text(json.dumps({"<|im_end|>": 514}))
    with pytest.raises(UnsupportedModelError, match=r"no mask token.*<\|mask\|>"):
        load_model(folder)


def test_a_mask_token_outside_the_vocabulary_is_refused(altered: Alter) -> None:
    with pytest.raises(CheckpointError, match="mask token's id is 544, but the vocabulary has 544 rows"):
        load_model(altered("llada-tiny", mask_token_id=544))


def test_pickles_are_refused_and_never_opened(altered: Alter) -> None:
    folder = altered("llada-tiny")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nabort\n(tR.")  # would end the process if it were unpickled
    with pytest.raises(CheckpointError, match=r"pickles \(pytorch_model.bin\).*only safetensors"):
        load_model(folder)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(missing: str, altered: Alter) -> None:
    folder = altered("dream-tiny")
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match=rf"{missing}.*download the complete checkpoint"):
        load_model(folder)


@pytest.mark.parametrize("path", ["GSAI-ML/LLaDA-8B-Instruct", "/nonexistent"])
def test_a_path_that_is_no_folder_is_refused_without_fetching(path: str) -> None:
    with pytest.raises(CheckpointError, match=r"is no folder.*nothing is fetched"):
        load_model(path)


def test_a_missing_field_is_named(altered: Alter) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json has no d_model"):
        load_model(altered("llada-tiny", d_model=None))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("d_model", "64"),
        ("d_model", True),
        ("n_layers", 0),
        ("n_layers", 10**9),
        ("n_layers", 10**6),
        ("n_heads", 5),
        ("n_kv_heads", 3),
        ("rope_theta", -1.0),
        ("rms_norm_eps", float("nan")),
        ("mask_token_id", "516"),
        ("mask_token_id", -1),
        ("weight_tying", "no"),
        ("model_type", 7),
        ("architectures", "LLaDAModelLM"),
        ("d_model", 128),
        ("n_layers", 3),
        ("n_layers", 1),
        ("mlp_hidden_size", 2**24),
        ("max_sequence_length", 10**15),
    ],
)
def test_impossible_fields_are_refused(field: str, value: object, altered: Alter) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(altered("llada-tiny", **{field: value}))


@pytest.mark.parametrize("dtype", ["int8", "float64", "fp16", torch.int8, torch.float64])
def test_an_unknown_dtype_is_refused(dtype: Any, golden: Path) -> None:
    with pytest.raises(PlacementError, match="allowed are float32, bfloat16, float16"):
        load_model(golden / "llada-tiny", dtype=dtype)


@pytest.mark.parametrize("device", ["cuda:99", "nowhere", "meta"])
def test_a_device_that_is_not_here_is_refused(device: str, golden: Path) -> None:
    with pytest.raises(PlacementError, match=rf"{device}.*choose cpu"):
        load_model(golden / "llada-tiny", device=device)


def test_a_model_whose_first_position_does_not_see_the_last_is_refused(altered: Alter) -> None:
    folder = altered("dream-tiny")
    weights = load_file(folder / "model.safetensors")
    blind = {name: tensor * ("o_proj" not in name) for name, tensor in weights.items()}
    save_file(blind, folder / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match="not bidirectional"):
        load_model(folder)


def test_weights_that_are_not_finite_are_refused(altered: Alter) -> None:
    folder = altered("dream-tiny")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"not finite in torch\.float32"):
        load_model(folder)
