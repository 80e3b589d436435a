"""Which family a checkpoint belongs to, and for one that TIE cannot ensemble, why.

Decided by `model_type`, `architectures` and the fields together: LLaDA-MoE, for one, also calls itself llada.
"""

from collections.abc import Mapping
from typing import Final

from tie_core.errors import UnsupportedModelError
from tie_core.models.family import Family
from tie_core.models.fields import Fields

BLOCK_CAUSAL: Final = (
    "it is block-causal: the blocks after the one being decoded are not in its forward, so the answer cannot "
    "be probed while the reasoning is being written, which is what TIE assesses"
)
MIXTURE: Final = "it is a mixture of experts, which no family here covers"

REFUSED: Final[Mapping[str, str]] = {
    "llada2": BLOCK_CAUSAL,
    "sdar": BLOCK_CAUSAL,
    "fastdllm": BLOCK_CAUSAL,
    "diffusiongemma": f"{BLOCK_CAUSAL}; nor has it a mask token",
    "lladamoe": MIXTURE,
}
"""How a name begins, in lower case without punctuation, and why such a model is refused. The first match
counts.
"""

EXPERT_FIELDS: Final = ("num_experts", "n_routed_experts", "num_local_experts", "expert_intermediate_size")


def recognise(config: Fields, families: Mapping[str, Family]) -> Family:
    """The family of a checkpoint; raises UnsupportedModelError with the reason."""
    model_type, architectures = config.text("model_type"), config.texts("architectures")
    shown = f"{model_type} ({', '.join(architectures) or 'no architecture named'})"
    _refuse_known(shown, (model_type, *architectures))
    if any(config.has(field) for field in EXPERT_FIELDS):
        raise _refusal(shown, MIXTURE)
    config.must_be("quantization_config", None)
    for family in families.values():
        if family.model_type == model_type and family.architectures.intersection(architectures):
            return family
    raise _refusal(shown, _why_foreign(model_type, families), families)


def _refuse_known(shown: str, names: tuple[str, ...]) -> None:
    for name in names:
        plain = "".join(filter(str.isalnum, name.lower()))
        for beginning, why in REFUSED.items():
            if plain.startswith(beginning):
                raise _refusal(shown, why)


def _why_foreign(model_type: str, families: Mapping[str, Family]) -> str:
    for family in families.values():
        if family.model_type == model_type:
            return f"a {model_type} model that is covered is a {' or '.join(sorted(family.architectures))}"
    return (
        "it is of no masked diffusion family known here (a plain autoregressive checkpoint predicts only the "
        "next token and has no mask token to fill in)"
    )


def _refusal(shown: str, why: str, families: Mapping[str, Family] | None = None) -> UnsupportedModelError:
    advice = f"use one of {', '.join(families)}" if families else "use a model whose whole canvas is one forward"
    return UnsupportedModelError(f"cannot ensemble {shown}: {why}: {advice}")
