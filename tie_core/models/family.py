"""What a family of checkpoints is: how it is recognised, and how it becomes one of transformers' own models.

Those bring torch, which reading a checkpoint's files does not need, so they are named here and imported when used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from huggingface_hub.errors import StrictDataclassError

from tie_core.errors import CheckpointError
from tie_core.models.fields import Fields

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True, slots=True)
class Family:
    """A supported family. Nothing of a checkpoint's own Python is ever used.

    `read_config` turns `config.json` into the arguments of transformers' configuration, or raises UnsupportedModelError
    for a variant that is not covered. `config_name` and `model_name` are classes of transformers. `rename` turns a
    parameter's name in the model into its name in the file. `end_of_turn` is a spelling, its id is the tokenizer's. So
    is `mask_token`, for a family whose configuration names no mask; it is None where `config.json` must.
    """

    name: str
    description: str
    model_type: str
    architectures: frozenset[str]
    config_name: str
    model_name: str
    read_config: Callable[[Fields], dict[str, Any]]
    rename: Callable[[str], str]
    logits_are_shifted: bool
    mask_token: str | None
    end_of_turn: str

    def translate(self, config: Fields) -> "PreTrainedConfig":
        """transformers' configuration; raises CheckpointError, UnsupportedModelError."""
        import transformers

        try:
            return cast("PreTrainedConfig", getattr(transformers, self.config_name)(**self.read_config(config)))
        except (StrictDataclassError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"config.json is no valid {self.name} model ({error}): restore it") from error

    @property
    def model_class(self) -> "type[PreTrainedModel]":
        import transformers

        return cast("type[PreTrainedModel]", getattr(transformers, self.model_name))


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
