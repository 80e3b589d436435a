"""The tokenizers that the tests of prompts and relays run on: two golden, the zoo's three, and two real ones.

The real ones are fetched by `python -m tests.fetch_tokenizers`; a test that needs one skips where that was
impossible.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.fetch_tokenizers import FOLDER
from tie_core.vocabulary import Vocabulary, load_vocabulary
from tie_core.zoo.tokenizers import write_dream_tokenizer, write_llada_tokenizer, write_qwen3_tokenizer

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """Where a tokenizer comes from and which of its tokens a checkpoint's `config.json` would name."""

    folder: Path
    mask: str
    eos: str = "<|endoftext|>"
    vocab_rows: int = 544
    write: Callable[[Path], None] | None = None


TOKENIZERS = {
    "llada-tiny": TokenizerFiles(GOLDEN / "llada-tiny", "<|mdm_mask|>"),
    "dream-tiny": TokenizerFiles(GOLDEN / "dream-tiny", "<|mask|>"),
    "zoo-llada": TokenizerFiles(Path("zoo-llada"), "<|mdm_mask|>", write=write_llada_tokenizer),
    "zoo-dream": TokenizerFiles(Path("zoo-dream"), "<|mask|>", write=write_dream_tokenizer),
    "zoo-qwen3": TokenizerFiles(Path("zoo-qwen3"), "<|mask|>", write=write_qwen3_tokenizer),
    "qwen2.5": TokenizerFiles(FOLDER / "qwen2.5", "<|mask|>", vocab_rows=152_064),
    "deepseek": TokenizerFiles(
        FOLDER / "deepseek",
        mask="<\uff5cplace\u2581holder\u2581no\u25810\uff5c>",
        eos="<\uff5cend\u2581of\u2581sentence\uff5c>",
        vocab_rows=129_280,
    ),
}
REAL = ("qwen2.5", "deepseek")


@cache
def load(name: str) -> Vocabulary:
    """The vocabulary of that name, read once per process. Skips the test if it could not be fetched."""
    files = TOKENIZERS[name]
    if files.write is None:
        if not files.folder.is_dir():
            pytest.skip(f"the {name} tokenizer was not fetched: run python -m tests.fetch_tokenizers")
        return load_from(files.folder, files)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        files.write(folder)
        return load_from(folder, files)


def load_from(folder: Path, files: TokenizerFiles) -> Vocabulary:
    ids = added_ids(folder)
    return load_vocabulary(folder, mask_id=ids[files.mask], eos_id=ids[files.eos], vocab_rows=files.vocab_rows)


def added_ids(folder: Path) -> dict[str, int]:
    """Every token that is found by its spelling, read from the checkpoint's own files."""
    if (folder / "tokenizer.json").is_file():
        spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        return {entry["content"]: entry["id"] for entry in spec["added_tokens"]}
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    return {entry["content"]: int(index) for index, entry in config["added_tokens_decoder"].items()}


def available() -> list[str]:
    """The names of the tokenizers that are here."""
    return [name for name, files in TOKENIZERS.items() if files.write or files.folder.is_dir()]
