"""What sets the zoo's members apart: shape, tokenizer, shift."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, Qwen2Tokenizer

from tie_core.zoo import MemberName
from tie_core.zoo.network import NetworkShape
from tie_core.zoo.skills import EXPERT_OPERATIONS
from tie_core.zoo.tokenizers import write_dream_tokenizer, write_llada_tokenizer, write_qwen3_tokenizer


@dataclass(frozen=True, slots=True)
class Member:
    name: MemberName
    shape: NetworkShape
    digits_per_token: int
    is_shifted: bool
    """Position i reads logits[i-1], position 0 its own."""
    mask_token: str
    tokenizer_class: type[PreTrainedTokenizerBase]
    write_tokenizer: Callable[[Path], None]

    @property
    def expert_operations(self) -> frozenset[str]:
        return EXPERT_OPERATIONS[self.name]

    def load_tokenizer(self, folder: Path) -> PreTrainedTokenizerBase:
        tokenizer: PreTrainedTokenizerBase = self.tokenizer_class.from_pretrained(folder)
        return tokenizer


RECIPES: Final[Mapping[MemberName, Member]] = MappingProxyType(
    {
        "zoo-llada": Member(
            name="zoo-llada",
            shape=NetworkShape(vocabulary_size=416, norm_eps=1e-5),
            digits_per_token=2,
            is_shifted=False,
            mask_token="<|mdm_mask|>",
            tokenizer_class=PreTrainedTokenizerFast,
            write_tokenizer=write_llada_tokenizer,
        ),
        "zoo-dream": Member(
            name="zoo-dream",
            shape=NetworkShape(vocabulary_size=384, num_kv_heads=2, has_qkv_bias=True),
            digits_per_token=1,
            is_shifted=True,
            mask_token="<|mask|>",
            tokenizer_class=Qwen2Tokenizer,
            write_tokenizer=write_dream_tokenizer,
        ),
        "zoo-qwen3": Member(
            name="zoo-qwen3",
            shape=NetworkShape(vocabulary_size=416, num_kv_heads=2, has_qk_norm=True),
            digits_per_token=1,
            is_shifted=False,
            mask_token="<|mask|>",
            tokenizer_class=Qwen2Tokenizer,
            write_tokenizer=write_qwen3_tokenizer,
        ),
    }
)
"""Rows of the embedding beyond the tokenizer's tokens exist, as in the real checkpoints."""
