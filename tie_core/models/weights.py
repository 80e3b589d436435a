"""Put a checkpoint's tensors into a model of ours, one at a time: never two copies of the weights in memory.

Knows names and shapes, no family. The model is built without storage and every parameter is set exactly once.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from tie_core.errors import CheckpointError
from tie_core.models.attention import ATTENTION, register_attention
from tie_core.models.checkpoint import Checkpoint, StoredTensor
from tie_core.models.family import Family
from tie_core.models.invariance import RowwiseSiLU

HEAD: Final = "lm_head.weight"
FLOATING_DTYPES: Final = frozenset({"F64", "F32", "F16", "BF16"})


def build_model(
    checkpoint: Checkpoint, family: Family, config: PreTrainedConfig, device: torch.device, dtype: torch.dtype
) -> PreTrainedModel:
    """A bidirectional model with the checkpoint's weights; raises CheckpointError for tensors that do not
    fit.
    """
    model = _build_without_storage(family, config, num_tensors=len(checkpoint.tensors))
    parameters = model.named_parameters(remove_duplicate=False)  # a tied head by its own name too
    wanted = {name: tuple(parameter.shape) for name, parameter in parameters}
    stored_names = {family.rename(name): name for name in wanted}
    is_tied = config.tie_word_embeddings and family.rename(HEAD) not in checkpoint.tensors
    if is_tied:
        del stored_names[family.rename(HEAD)]
    _check_fit(checkpoint.tensors, {stored: wanted[name] for stored, name in stored_names.items()})
    _place(model, checkpoint.tensors, stored_names, device, dtype)
    if is_tied:
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
    _restore_what_no_file_holds(model, config, device)
    return cast(PreTrainedModel, model.eval().requires_grad_(False))


def _build_without_storage(family: Family, config: PreTrainedConfig, num_tensors: int) -> Any:
    """The model on the meta device; Any, since transformers' own annotations are partial."""
    if config.num_hidden_layers > num_tensors:
        raise CheckpointError(
            f"config.json calls for {config.num_hidden_layers} layers, but there are only {num_tensors} tensors: "
            "config.json and weights must be of the same complete checkpoint"
        )
    config.is_causal = False
    register_attention()
    config._attn_implementation = ATTENTION
    try:
        with torch.device("meta"):
            return family.model_class(config)
    except RuntimeError as error:
        raise CheckpointError(f"config.json calls for impossible sizes ({error}): restore it") from error


def _check_fit(stored: Mapping[str, StoredTensor], wanted: Mapping[str, tuple[int, ...]]) -> None:
    missing, unexpected = sorted(wanted.keys() - stored.keys()), sorted(stored.keys() - wanted.keys())
    if missing or unexpected:
        lacking = f"lacks {len(missing)} tensors that config.json calls for ({missing[0]})" if missing else ""
        extra = f"holds {len(unexpected)} that it does not ({unexpected[0]})" if unexpected else ""
        raise CheckpointError(
            f"the checkpoint {' and '.join(filter(None, (lacking, extra)))}: config.json and weights must be "
            "of the same complete checkpoint, neither quantised nor an adapter"
        )
    for name, shape in wanted.items():
        if stored[name].shape != shape:
            raise CheckpointError(
                f"{name} has shape {list(stored[name].shape)}, but config.json calls for {list(shape)}: "
                "config.json and weights must be of the same checkpoint"
            )
        if stored[name].dtype not in FLOATING_DTYPES:
            raise CheckpointError(
                f"{name} is stored as {stored[name].dtype}; loaded are {', '.join(sorted(FLOATING_DTYPES))}: "
                "use the checkpoint's unquantised weights"
            )


def _place(
    model: nn.Module,
    stored: Mapping[str, StoredTensor],
    stored_names: Mapping[str, str],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    names_by_file = defaultdict(list)
    for stored_name in stored_names:
        names_by_file[stored[stored_name].file].append(stored_name)
    for file, names in names_by_file.items():
        try:
            with safe_open(file, framework="pt") as tensors:
                for stored_name in names:
                    tensor = tensors.get_tensor(stored_name)
                    _set_parameter(model, stored_names[stored_name], _own_copy(tensor, device, dtype))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file} is damaged ({error}): download it again") from error


def _own_copy(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Aligned memory of our own, not a view into a file that might change."""
    return torch.empty(tensor.shape, dtype=dtype, device=device).copy_(tensor)


def _set_parameter(model: nn.Module, name: str, tensor: Tensor) -> None:
    module_name, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module_name), leaf, nn.Parameter(tensor, requires_grad=False))


def _restore_what_no_file_holds(model: Any, config: PreTrainedConfig, device: torch.device) -> None:
    """Rotary frequencies, which stay in float32 whatever the model's dtype, and activations."""
    decoder = model.get_decoder()
    decoder.rotary_emb = type(decoder.rotary_emb)(config=config).to(device)
    for layer in decoder.layers:
        layer.mlp.act_fn = RowwiseSiLU()
