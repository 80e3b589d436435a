"""A trained network as a checkpoint folder in LLaDA's, Dream's or a2d-qwen3's on-disk layout: bf16 weights and JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tie_core.zoo.encoding import token_id
from tie_core.zoo.members import Member
from tie_core.zoo.network import Network, NetworkShape

MAX_LENGTH: Final = 1024
TRANSFORMERS_VERSION: Final = "4.46.2"
"""What the real checkpoints were written with; no reader depends on it."""

LLADA_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model.embed_tokens.": "model.transformer.wte.",
        "model.norm.": "model.transformer.ln_f.",
        "lm_head.": "model.transformer.ff_out.",
        "model.layers.": "model.transformer.blocks.",
        ".input_layernorm.": ".attn_norm.",
        ".post_attention_layernorm.": ".ff_norm.",
        ".self_attn.o_proj.": ".attn_out.",
        ".self_attn.": ".",
        ".mlp.gate_proj.": ".ff_proj.",
        ".mlp.up_proj.": ".up_proj.",
        ".mlp.down_proj.": ".ff_out.",
    }
)
"""Pieces of a parameter's name, transformers' to LLaDA's, replaced in this order."""


def write_checkpoint(member: Member, network: Network, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Everything but the tokenizer files, which the folder has already."""
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in network.state_dict().items()}
    end_id = token_id(tokenizer, "<|endoftext|>")
    mask_id = token_id(tokenizer, member.mask_token)
    if member.name == "zoo-llada":
        weights = {_llada_name(name): tensor for name, tensor in weights.items()}
        config = llada_config(member.shape, end_id=end_id, mask_id=mask_id)
        start_id = token_id(tokenizer, "<|startoftext|>")
        generation: dict[str, Any] = {
            "_from_model_config": True,
            "bos_token_id": start_id,
            "eos_token_id": end_id,
        }
    elif member.name == "zoo-dream":
        config = dream_config(member.shape, end_id=end_id, mask_id=mask_id)
        generation = dream_generation_config(end_id=end_id, mask_id=mask_id)
    else:
        config = qwen3_config(member.shape, end_id=end_id)
        generation = {"eos_token_id": end_id, "pad_token_id": end_id}
    _write_weights(weights, folder)
    _write_json(folder / "config.json", config)
    generation["transformers_version"] = TRANSFORMERS_VERSION
    _write_json(folder / "generation_config.json", generation)


def llada_config(shape: NetworkShape, *, end_id: int, mask_id: int) -> dict[str, Any]:
    return {
        "activation_type": "silu",
        "alibi": False,
        "alibi_bias_max": 8.0,
        "architectures": ["LLaDAModelLM"],
        "attention_dropout": 0.0,
        "attention_layer_norm": False,
        "attention_layer_norm_with_affine": True,
        "auto_map": {
            "AutoConfig": "configuration_llada.LLaDAConfig",
            "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
            "AutoModel": "modeling_llada.LLaDAModelLM",
        },
        "bias_for_layer_norm": False,
        "block_group_size": 1,
        "block_type": "llama",
        "d_model": shape.width,
        "embedding_dropout": 0.0,
        "embedding_size": shape.vocabulary_size,
        "eos_token_id": end_id,
        "flash_attention": False,
        "include_bias": False,
        "include_qkv_bias": shape.has_qkv_bias,
        "init_cutoff_factor": None,
        "init_device": "meta",
        "init_fn": "mitchell",
        "init_std": 0.02,
        "input_emb_norm": False,
        "layer_norm_type": "rms",
        "layer_norm_with_affine": True,
        "mask_token_id": mask_id,
        "max_sequence_length": MAX_LENGTH,
        "mlp_hidden_size": shape.mlp_width,
        "mlp_ratio": 4,
        "model_type": "llada",
        "multi_query_attention": None,
        "n_heads": shape.num_heads,
        "n_kv_heads": shape.num_kv_heads,
        "n_layers": shape.num_layers,
        "pad_token_id": end_id,
        "precision": "amp_bf16",
        "residual_dropout": 0.0,
        "rms_norm_eps": shape.norm_eps,
        "rope": True,
        "rope_full_precision": True,
        "rope_theta": shape.rope_theta,
        "scale_logits": False,
        "transformers_version": TRANSFORMERS_VERSION,
        "use_cache": False,
        "vocab_size": shape.vocabulary_size,
        "weight_tying": False,
    }


def dream_config(shape: NetworkShape, *, end_id: int, mask_id: int) -> dict[str, Any]:
    return {
        "architectures": ["DreamModel"],
        "attention_dropout": 0.0,
        "auto_map": {
            "AutoConfig": "configuration_dream.DreamConfig",
            "AutoModel": "modeling_dream.DreamModel",
        },
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.mlp_width,
        "mask_token_id": mask_id,
        "max_position_embeddings": MAX_LENGTH,
        "max_window_layers": shape.num_layers,
        "model_type": "Dream",
        "num_attention_heads": shape.num_heads,
        "num_hidden_layers": shape.num_layers,
        "num_key_value_heads": shape.num_kv_heads,
        "pad_token_id": end_id,
        "rms_norm_eps": shape.norm_eps,
        "rope_scaling": None,
        "rope_theta": shape.rope_theta,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": TRANSFORMERS_VERSION,
        "use_cache": True,
        "use_mrope": False,
        "use_sliding_window": False,
        "vocab_size": shape.vocabulary_size,
    }


def qwen3_config(shape: NetworkShape, *, end_id: int) -> dict[str, Any]:
    """The mask token is named by the tokenizer alone."""
    return {
        "architectures": ["A2DQwen3LMHeadModel"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": end_id,
        "dtype": "bfloat16",
        "eos_token_id": end_id,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.mlp_width,
        "max_position_embeddings": MAX_LENGTH,
        "max_window_layers": shape.num_layers,
        "model_type": "a2d-qwen3",
        "num_attention_heads": shape.num_heads,
        "num_hidden_layers": shape.num_layers,
        "num_key_value_heads": shape.num_kv_heads,
        "pad_token_id": end_id,
        "rms_norm_eps": shape.norm_eps,
        "rope_scaling": None,
        "rope_theta": shape.rope_theta,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "transformers_version": TRANSFORMERS_VERSION,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": shape.vocabulary_size,
    }


def dream_generation_config(*, end_id: int, mask_id: int) -> dict[str, Any]:
    return {
        "_from_model_config": True,
        "alg": "origin",
        "alg_temp": None,
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "eps": 0.001,
        "mask_token_id": mask_id,
        "output_history": False,
        "pad_token_id": end_id,
        "steps": 512,
        "temperature": 0.0,
        "top_k": None,
        "top_p": None,
    }


def _llada_name(name: str) -> str:
    for ours, theirs in LLADA_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _write_weights(weights: Mapping[str, Tensor], folder: Path) -> None:
    save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
