"""The "a2d-qwen3" models, Qwen3 made into masked diffusion models: transformers' Qwen3, read at its own
position. Source: the published checkpoints' `config.json` and tensor names. The mask token is named by the
tokenizer alone.
"""

from typing import Any, Final

from tie_core.models.family import Family, keep_name, rope_parameters
from tie_core.models.fields import Fields


def read_config(config: Fields) -> dict[str, Any]:
    config.must_be("hidden_act", "silu")
    config.must_be("use_sliding_window", None, False)
    num_layers = config.count("num_hidden_layers")
    return {
        "vocab_size": config.count("vocab_size"),
        "hidden_size": config.count("hidden_size"),
        "intermediate_size": config.count("intermediate_size"),
        "num_hidden_layers": num_layers,
        "num_attention_heads": config.count("num_attention_heads"),
        "num_key_value_heads": config.count("num_key_value_heads"),
        "head_dim": config.count("head_dim"),
        "max_position_embeddings": config.count("max_position_embeddings"),
        "rms_norm_eps": config.number("rms_norm_eps"),
        "rope_parameters": rope_parameters(config),
        "tie_word_embeddings": config.is_on("tie_word_embeddings"),
        "attention_bias": config.is_on("attention_bias"),
        "layer_types": ["full_attention"] * num_layers,
        "hidden_act": "silu",
    }


FAMILY: Final = Family(
    name="a2d-qwen3",
    description="Qwen3 adapted to masked diffusion (a2d), each position read at its own row",
    model_type="a2d-qwen3",
    architectures=frozenset({"A2DQwen3LMHeadModel"}),
    config_name="Qwen3Config",
    model_name="Qwen3ForCausalLM",
    read_config=read_config,
    rename=keep_name,
    logits_are_shifted=False,
    mask_token="<|mask|>",
    end_of_turn="<|im_end|>",
)
