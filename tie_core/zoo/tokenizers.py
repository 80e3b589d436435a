"""The zoo's tokenizer files, made from nothing: digits in Dream's and a2d-qwen3's layouts, pairs in LLaDA's.

All are byte-level BPE, so any text encodes, with merges written by hand for the few words of the task. A
slot (` rev=951413`) is eight tokens in each: ` rev`, `=`, six digits; or space, three letters, `=`, three
pairs.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tie_core.zoo import MemberName
from tie_core.zoo.skills import OPERATIONS

SPACE: Final = "\u0120"
"""Byte 0x20 in the byte-level alphabet."""
NEWLINE: Final = "\u010a"

CHAT_WORDS: Final = ("Answer", SPACE + "Answer", NEWLINE + NEWLINE, "user", "assistant", "system")
DREAM_CHAT_WORDS: Final = ("You", SPACE + "are", SPACE + "a", SPACE + "helpful", SPACE + "assistant")
OPERATION_WORDS: Final = tuple(prefix + name for name in OPERATIONS for prefix in ("", SPACE))
DIGIT_PAIRS: Final = (*(f"{pair:02d}" for pair in range(100)), "--")
"""Dashes stand for a word, so they come in pairs as its digits do."""

PAIR_PATTERN: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""GPT-style splitting, except that a run of digits is cut in pairs from the left."""

LLADA_SPECIALS: Final = (
    "<|startoftext|>", "<|endoftext|>", "[CLS]", "[gMASK]", "<|mdm_mask|>", "<role>", "</role>",
    "<|arithmetic_start|>", "<|arithmetic_end|>", "<|number_start|>", "<|number_end|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
)  # fmt: skip
DREAM_SPECIALS: Final = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>",
    "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|beginoftext|>",
    "<|mask|>",
)  # fmt: skip
QWEN3_SPECIALS: Final = (*DREAM_SPECIALS[:22], "<think>", "</think>", "<|mask|>")
ADDED_BUT_NOT_SPECIAL: Final = frozenset({*DREAM_SPECIALS[14:22], "<think>", "</think>"})

LLADA_CHAT_TEMPLATE: Final = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
"""As LLaDA's, it always ends in the assistant header."""
DREAM_CHAT_TEMPLATE: Final = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN3_CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As Qwen3's, it has no system prompt of its own."""


def write_dream_tokenizer(folder: Path) -> None:
    """Dream's layout: `vocab.json`, `merges.txt`, `added_tokens.json`, no `tokenizer.json`."""
    added = _write_qwen_vocabulary(folder, (*OPERATION_WORDS, *CHAT_WORDS, *DREAM_CHAT_WORDS), DREAM_SPECIALS)
    _write_json(folder / "added_tokens.json", dict(sorted(added.items())))
    names = {
        "bos_token": "<|beginoftext|>",
        "eos_token": "<|endoftext|>",
        "mask_token": "<|mask|>",
        "pad_token": "<|endoftext|>",
    }
    extra = ["<|beginoftext|>", "<|mask|>"]
    _write_special_tokens_map(folder, names, extra)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": _added_tokens(added),
            "additional_special_tokens": extra,
            "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
            **names,
            "chat_template": DREAM_CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            "model_max_length": 131_072,
            "split_special_tokens": False,
            "tokenizer_class": "DreamTokenizer",
            "unk_token": None,
        },
    )


def write_qwen3_tokenizer(folder: Path) -> None:
    """a2d-qwen3's layout: `vocab.json`, `merges.txt`, and added tokens that only `tokenizer_config.json` names."""
    added = _write_qwen_vocabulary(folder, (*CHAT_WORDS, *reversed(OPERATION_WORDS)), QWEN3_SPECIALS)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": _added_tokens(added),
            "bos_token": None,
            "chat_template": QWEN3_CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|endoftext|>",
            "errors": "replace",
            "mask_token": "<|mask|>",
            "model_max_length": 131_072,
            "pad_token": "<|endoftext|>",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )


def write_llada_tokenizer(folder: Path) -> None:
    """LLaDA's layout: one `tokenizer.json`; only `config.json` says which token is the mask."""
    vocabulary, merges = _byte_level_bpe((*DIGIT_PAIRS, *CHAT_WORDS))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PAIR_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in LLADA_SPECIALS])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "bos_token": "<|startoftext|>",
        "cls_token": "[CLS]",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    extra = list(LLADA_SPECIALS[5:11])
    _write_special_tokens_map(folder, names, extra)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_eos_token": False,
            "added_tokens_decoder": {
                str(tokenizer.token_to_id(text)): _token_entry(text, special=True) for text in LLADA_SPECIALS
            },
            "additional_special_tokens": extra,
            **names,
            "gmask_token": "[gMASK]",
            "chat_template": LLADA_CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "fast_tokenizer": True,
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": 1_000_000,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )


TOKENIZER_WRITERS: Final[Mapping[MemberName, Callable[[Path], None]]] = MappingProxyType(
    {
        "zoo-llada": write_llada_tokenizer,
        "zoo-dream": write_dream_tokenizer,
        "zoo-qwen3": write_qwen3_tokenizer,
    }
)


def _write_qwen_vocabulary(folder: Path, words: Iterable[str], added: Sequence[str]) -> dict[str, int]:
    """`vocab.json` and `merges.txt`; returns the ids of the added tokens, which stand behind them."""
    vocabulary, merges = _byte_level_bpe(words)
    _write_json(folder / "vocab.json", vocabulary)
    merge_lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(merge_lines) + "\n", encoding="utf-8")
    return {text: len(vocabulary) + index for index, text in enumerate(added)}


def _added_tokens(added: Mapping[str, int]) -> dict[str, Any]:
    return {str(index): _token_entry(text, special=text not in ADDED_BUT_NOT_SPECIAL) for text, index in added.items()}


def _byte_level_bpe(words: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges in which every one of `words` is one token, each built up from the left.

    Merges made for an earlier word rank first, so those of a later word (`tr`, `tri`) never break it (`rtr`).
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = _apply_merges(word, merges)
        while len(pieces) > 1:
            left, right = pieces[0], pieces[1]
            merges.append((left, right))
            vocabulary.setdefault(left + right, len(vocabulary))
            pieces = _apply_merges(word, merges)
    return vocabulary, merges


def _apply_merges(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    pieces = list(word)
    for left, right in merges:
        index = 0
        while index < len(pieces) - 1:
            if (pieces[index], pieces[index + 1]) == (left, right):
                pieces[index : index + 2] = [left + right]
            index += 1
    return pieces


def _write_special_tokens_map(folder: Path, names: Mapping[str, str], extra: Sequence[str]) -> None:
    entries: dict[str, Any] = {"additional_special_tokens": list(extra)}
    for role, text in names.items():
        entry = _token_entry(text, special=True)
        del entry["special"]
        entries[role] = entry
    _write_json(folder / "special_tokens_map.json", entries)


def _token_entry(text: str, *, special: bool) -> dict[str, Any]:
    return {
        "content": text,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": special,
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
