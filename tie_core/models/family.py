"""What a family of checkpoints is: how it is recognised, and how it becomes one of transformers' own
models.
"""

from collections.abc import Callable
from dataclasses import dataclass

from transformers import PreTrainedConfig, PreTrainedModel

from tie_core.models.fields import Fields


@dataclass(frozen=True, slots=True)
class Family:
    """A supported family. Nothing of a checkpoint's own Python is ever used.

    `translate` turns `config.json` into transformers' configuration, or raises UnsupportedModelError for a
    variant that is not covered. `rename` turns a parameter's name in `model_class` into its name in the file.
    `end_of_turn` is a spelling, its id is the tokenizer's. So is `mask_token`, for a family whose
    configuration names no mask; it is None where `config.json` must.
    """

    name: str
    description: str
    model_type: str
    architectures: frozenset[str]
    model_class: type[PreTrainedModel]
    translate: Callable[[Fields], PreTrainedConfig]
    rename: Callable[[str], str]
    logits_are_shifted: bool
    mask_token: str | None
    end_of_turn: str


def keep_name(name: str) -> str:
    """For layouts that are transformers' own."""
    return name


def rope_parameters(config: Fields) -> dict[str, object]:
    """Plain rotary positions, the base stated as the hub's older or newer configurations do; refuses
    scaled ones.
    """
    config.must_be("rope_scaling", None)
    if config.has("rope_parameters"):
        config = Fields(f"{config.file}'s rope_parameters", config.mapping("rope_parameters"))
        config.must_be("rope_type", None, "default")
    return {"rope_type": "default", "rope_theta": config.number("rope_theta")}
