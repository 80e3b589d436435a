"""Dream, Dream-Coder and DiffuCoder: transformers' Qwen2, each position predicted one row to its left,
since the weights began as an autoregressive model's. Source: the published checkpoints' `config.json` and
tensor names.
"""

from typing import Any, Final

from tie_core.models.family import Family, keep_name, rope_parameters
from tie_core.models.fields import Fields


def read_config(config: Fields) -> dict[str, Any]:
    config.must_be("hidden_act", "silu")
    config.must_be("use_sliding_window", None, False)
    config.must_be("use_mrope", None, False)
    num_layers = config.count("num_hidden_layers")
    return {
        "vocab_size": config.count("vocab_size"),
        "hidden_size": config.count("hidden_size"),
        "intermediate_size": config.count("intermediate_size"),
        "num_hidden_layers": num_layers,
        "num_attention_heads": config.count("num_attention_heads"),
        "num_key_value_heads": config.count("num_key_value_heads"),
        "max_position_embeddings": config.count("max_position_embeddings"),
        "rms_norm_eps": config.number("rms_norm_eps"),
        "rope_parameters": rope_parameters(config),
        "tie_word_embeddings": config.is_on("tie_word_embeddings"),
        "layer_types": ["full_attention"] * num_layers,
        "hidden_act": "silu",
    }


FAMILY: Final = Family(
    name="dream",
    description="Dream, Dream-Coder, DiffuCoder: made from Qwen2.5, each position read one row to its left",
    model_type="Dream",
    architectures=frozenset({"DreamModel"}),
    config_name="Qwen2Config",
    model_name="Qwen2ForCausalLM",
    read_config=read_config,
    rename=keep_name,
    logits_are_shifted=True,
    mask_token=None,
    end_of_turn="<|im_end|>",
)
