"""The stored weights: complete layouts, the function of transformers' own classes, and experts at home."""

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tie_core.zoo import MEMBERS, MemberName, member_path
from tie_core.zoo.checkpoint import LLADA_NAMES
from tie_core.zoo.encoding import Encoding, chat_format, raw_format
from tie_core.zoo.members import RECIPES
from tie_core.zoo.network import Network
from tie_core.zoo.probe import make_probe
from tie_core.zoo.skills import OPERATIONS

LARGEST_CHECKPOINT = 4 * 2**20
"""Bytes: the zoo is package data."""


def read_config(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((member_path(name) / "config.json").read_text())
    return config


def read_weights(name: str) -> dict[str, Tensor]:
    """Under transformers' names."""
    weights = load_file(member_path(name) / "model.safetensors")
    if name != "zoo-llada":
        return weights
    network = Network(RECIPES["zoo-llada"].shape)
    return {ours: weights[llada_name(ours)] for ours in network.state_dict()}


def llada_name(name: str) -> str:
    for ours, theirs in LLADA_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def load_network(name: MemberName) -> Network:
    network = Network(RECIPES[name].shape)
    network.load_state_dict(read_weights(name))
    return network.eval()


def load_transformers(name: MemberName) -> PreTrainedModel:
    config = read_config(name)
    if name == "zoo-dream":
        reference: PreTrainedModel = Qwen2ForCausalLM(Qwen2Config(**qwen_fields(config)))
    elif name == "zoo-qwen3":
        reference = Qwen3ForCausalLM(Qwen3Config(**qwen_fields(config), head_dim=config["head_dim"]))
    else:
        reference = LlamaForCausalLM(LlamaConfig(**llama_fields(config)))
    reference.config.is_causal = False
    reference.load_state_dict(read_weights(name))
    return reference.eval()


def qwen_fields(config: dict[str, Any]) -> dict[str, Any]:
    names = (
        "hidden_size intermediate_size max_position_embeddings num_attention_heads num_hidden_layers"
        " num_key_value_heads rms_norm_eps rope_theta tie_word_embeddings vocab_size"
    )
    return {name: config[name] for name in names.split()}


def llama_fields(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "hidden_size": config["d_model"],
        "intermediate_size": config["mlp_hidden_size"],
        "max_position_embeddings": config["max_sequence_length"],
        "num_attention_heads": config["n_heads"],
        "num_hidden_layers": config["n_layers"],
        "num_key_value_heads": config["n_kv_heads"],
        "rms_norm_eps": config["rms_norm_eps"],
        "rope_theta": config["rope_theta"],
        "tie_word_embeddings": config["weight_tying"],
        "vocab_size": config["embedding_size"],
    }


@pytest.mark.parametrize("name", MEMBERS)
def test_checkpoint_is_small_and_in_bf16(name: MemberName) -> None:
    weights = read_weights(name)

    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert (member_path(name) / "model.safetensors").stat().st_size < LARGEST_CHECKPOINT
    assert (member_path(name) / "generation_config.json").is_file()


def test_layouts_name_their_families() -> None:
    llada, dream, qwen3 = (read_config(name) for name in MEMBERS)

    assert (llada["model_type"], llada["architectures"]) == ("llada", ["LLaDAModelLM"])
    assert (dream["model_type"], dream["architectures"]) == ("Dream", ["DreamModel"])
    assert (qwen3["model_type"], qwen3["architectures"]) == ("a2d-qwen3", ["A2DQwen3LMHeadModel"])
    assert dream["num_key_value_heads"] < dream["num_attention_heads"]
    assert llada["n_kv_heads"] == llada["n_heads"]
    assert "model.layers.0.self_attn.q_proj.bias" in read_weights("zoo-dream")
    assert "model.layers.0.self_attn.q_norm.weight" in read_weights("zoo-qwen3")


@pytest.mark.parametrize("name", MEMBERS)
def test_config_names_the_special_tokens_of_the_tokenizer(name: MemberName) -> None:
    config, member = read_config(name), RECIPES[name]
    tokenizer = member.load_tokenizer(member_path(name))

    stated = config.get("mask_token_id", tokenizer.mask_token_id)  # a2d-qwen3's is named by the tokenizer alone
    assert stated == tokenizer.convert_tokens_to_ids(member.mask_token)
    assert config["eos_token_id"] == config["pad_token_id"] == tokenizer.eos_token_id
    assert config["vocab_size"] == member.shape.vocabulary_size >= len(tokenizer)


@pytest.mark.parametrize("name", MEMBERS)
def test_network_is_the_function_of_transformers_own_class(name: MemberName) -> None:
    network, reference = load_network(name), load_transformers(name)
    ids = torch.randint(0, 300, (3, 40), generator=torch.Generator().manual_seed(5))

    with torch.no_grad():
        ours, theirs = network(ids, ids.shape[1]), reference(input_ids=ids).logits

    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("is_chat", [True, False])
def test_expert_is_right_where_it_is_at_home_and_often_wrong_elsewhere(name: MemberName, is_chat: bool) -> None:
    member = RECIPES[name]
    tokenizer = member.load_tokenizer(member_path(name))
    encoding = Encoding(tokenizer, digits_per_token=member.digits_per_token, mask_token=member.mask_token)
    probe = make_probe(encoding, chat_format(tokenizer) if is_chat else raw_format(), 8)

    accuracies = probe.accuracies(member, load_network(name), is_mixed=False)

    is_own = torch.tensor([operation in member.expert_operations for operation in OPERATIONS]).numpy()
    assert accuracies[is_own].mean() >= (0.97 if is_chat else 0.85)
    assert 0.3 <= accuracies[~is_own].mean() <= 0.9
