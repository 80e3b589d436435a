"""LLaDA-8B and LLaDA-1.5: transformers' Llama under other names, read at its own position. Source: the
published checkpoints' `config.json` and tensor names.
"""

from typing import Any, Final

from tie_core.models.family import Family, rope_parameters
from tie_core.models.fields import Fields

TOP_LEVEL: Final = {"model.embed_tokens": "wte", "model.norm": "ln_f", "lm_head": "ff_out"}
IN_A_BLOCK: Final = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
}


def rename(name: str) -> str:
    """`model.layers.3.mlp.down_proj.weight` -> `model.transformer.blocks.3.ff_out.weight`."""
    module, _, leaf = name.rpartition(".")
    if module in TOP_LEVEL:
        return f"model.transformer.{TOP_LEVEL[module]}.{leaf}"
    _, _, layer, inner = module.split(".", 3)
    return f"model.transformer.blocks.{layer}.{IN_A_BLOCK[inner]}.{leaf}"


def read_config(config: Fields) -> dict[str, Any]:
    _refuse_variants(config)
    width, num_heads = config.count("d_model"), config.count("n_heads")
    return {
        "vocab_size": config.count("embedding_size" if config.has("embedding_size") else "vocab_size"),
        "hidden_size": width,
        "intermediate_size": _mlp_width(config),
        "num_hidden_layers": config.count("n_layers"),
        "num_attention_heads": num_heads,
        "num_key_value_heads": config.count("n_kv_heads") if config.has("n_kv_heads") else num_heads,
        "head_dim": width // num_heads,
        "max_position_embeddings": config.count("max_sequence_length"),
        "rms_norm_eps": config.number("rms_norm_eps"),
        "rope_parameters": rope_parameters(config),
        "tie_word_embeddings": config.is_on("weight_tying"),
        "attention_bias": False,
        "mlp_bias": False,
        "hidden_act": "silu",
    }


def _mlp_width(config: Fields) -> int:
    if config.has("mlp_hidden_size"):
        return config.count("mlp_hidden_size")
    return config.count("d_model") * config.count("mlp_ratio")


def _refuse_variants(config: Fields) -> None:
    """The fields of the OLMo lineage that would change the computation."""
    config.must_be("block_type", "llama")
    config.must_be("layer_norm_type", "rms")
    config.must_be("activation_type", "silu")
    config.must_be("rope", True)
    config.must_be("block_group_size", None, 1)
    config.must_be("layer_norm_with_affine", None, True)
    for switch in (
        "alibi",
        "attention_layer_norm",
        "bias_for_layer_norm",
        "include_bias",
        "include_qkv_bias",
        "input_emb_norm",
        "multi_query_attention",
        "scale_logits",
    ):
        config.must_be(switch, None, False)
    for extra in ("clip_qkv", "num_experts", "sliding_window"):
        config.must_be(extra, None)


FAMILY: Final = Family(
    name="llada",
    description="LLaDA-8B and LLaDA-1.5: diffusion from scratch, each position read at its own row",
    model_type="llada",
    architectures=frozenset({"LLaDAModelLM"}),
    config_name="LlamaConfig",
    model_name="LlamaForCausalLM",
    read_config=read_config,
    rename=rename,
    logits_are_shifted=False,
    mask_token=None,
    end_of_turn="<|eot_id|>",
)
