"""The embedded zoo: three small masked diffusion models trained here, stored as real checkpoints, and presets.

`zoo-llada` has LLaDA's layout and a tokenizer of two-digit pairs, `zoo-dream` Dream's layout (shifted logits)
and a tokenizer of single digits, `zoo-qwen3` the a2d-qwen3 layout and single digits in another order. Imports no torch.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args

MemberName = Literal["zoo-llada", "zoo-dream", "zoo-qwen3"]

MEMBERS: Final[tuple[MemberName, ...]] = get_args(MemberName)

REASONING_LENGTH: Final = 24
"""R: three slots of eight tokens, in every tokenizer; of end tokens where a sheet has two lines."""
SUFFIX: Final = " Answer:"
ANSWER_LENGTH: Final = 18
"""A: eighteen digit tokens, or nine pair tokens and nine end tokens."""
BLOCK_SIZE: Final = 8
"""One slot."""
INTERVAL: Final = 8
"""n, one slot at one token a step."""
PARALLEL_INTERVAL: Final = 1
"""n under the policies that commit a slot in about two steps: rounds between different tokenizers end at block
boundaries, so 1 means one slot a round, and 3 would mean two."""

DEFAULTS: Final[Mapping[str, int | str]] = MappingProxyType(
    {
        "reasoning": REASONING_LENGTH,
        "answer": ANSWER_LENGTH,
        "suffix": SUFFIX,
        "block_size": BLOCK_SIZE,
        "interval": INTERVAL,
    }
)
"""The options of an ensemble of these members."""
POLICY_DEFAULTS: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {policy: MappingProxyType({"interval": PARALLEL_INTERVAL}) for policy in ("threshold", "factor", "entropy_bound")}
)
"""What differs under one unmasking policy."""


ABOUT: Final = (
    "Worksheets of operations on six digits (rev, rtl, rtr, swp, hlf, end, inc, dec, cmp, dbl, tri, add; ------ is the"
    " result above), and questions on a table of three records (fst, mid, lst, top, med, low). The answer is the lines'"
    " results one after another. One question at a time: what was said before confuses the models. Anything else gets"
    " digits without a meaning."
)
EXAMPLES: Final = (
    "swp 314159; rev ------; dec 141421",
    "inc 123456; hlf 654321; rev ------",
    "314159 271828 141421; mid; low",
    "314159 271828 141421; top; med; low",
)
"""Prompts of what `ABOUT` says, all answered right by the members together. None of them gets the first
right alone, and its leader changes."""


def member_path(name: str) -> Path:
    """The checkpoint folder of a member; KeyError for a name that is not in MEMBERS."""
    if name not in MEMBERS:
        raise KeyError(f"no zoo member {name!r}: the zoo has {', '.join(MEMBERS)}")
    return Path(__file__).parent / "checkpoints" / name
