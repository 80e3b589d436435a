"""The checkpoints that are timed: those of `../shared/bench` where it is there, else random ones of the same shape.

Weights are random: they cost what trained ones cost. Whatever is made lies in a temporary folder.
"""

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from tie_core import zoo
from tie_core.models.checkpoint import read_json
from tie_core.models.families import FAMILIES
from tie_core.models.family import Family
from tie_core.models.fields import Fields
from tie_core.models.recognition import recognise

ROOT: Final = Path(__file__).resolve().parent.parent
SHARED: Final = ROOT.parent / "shared" / "bench"
WIDE_ROWS: Final = 126_464
WIDE_MASK: Final = 126_336
WIDE_EOS: Final = 126_081
LLADA_SHAPE: Final = {"d_model": 256, "n_heads": 4, "n_kv_heads": 4, "n_layers": 4, "mlp_hidden_size": 768}
DREAM_SHAPE: Final = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
    "intermediate_size": 768,
}
ROWS: Final = 4480


@dataclass(frozen=True)
class Checkpoints:
    """Folders by what they are for. With `is_quick` they are the zoo's size."""

    folder: Path
    is_quick: bool = False

    @property
    def are_shared(self) -> bool:
        return SHARED.is_dir() and not self.is_quick

    @cached_property
    def llada(self) -> Path:
        if self.are_shared:
            return SHARED / "llada-tiny-4k"
        source = zoo.member_path("zoo-llada")
        if self.is_quick:
            return source
        return write_random(source, self.folder / "llada-4k", seed=1, num_rows=ROWS, max_length=4096, **LLADA_SHAPE)

    @cached_property
    def dream(self) -> Path:
        if self.are_shared:
            return SHARED / "dream-tiny-4k"
        source = zoo.member_path("zoo-dream")
        if self.is_quick:
            return source
        return write_random(source, self.folder / "dream-4k", seed=2, max_length=4096, **DREAM_SHAPE)

    @cached_property
    def twin(self) -> Path:
        """Other weights behind `llada`'s tokenizer, so that a relay copies ids."""
        return write_random(self.llada, self.folder / "twin", seed=3)

    @cached_property
    def wide(self) -> Path:
        """`llada`'s body with the vocabulary of the published model."""
        rows = 2048 if self.is_quick else WIDE_ROWS
        ids = {} if self.is_quick else {"mask_token_id": WIDE_MASK, "eos_token_id": WIDE_EOS}
        return write_random(self.llada, self.folder / "wide", seed=4, num_rows=rows, **ids)


def write_random(
    source: Path,
    folder: Path,
    *,
    seed: int,
    num_rows: int | None = None,
    mask_token_id: int | None = None,
    eos_token_id: int | None = None,
    max_length: int | None = None,
    **shape: int,
) -> Path:
    """A checkpoint with random weights (bf16) and `source`'s layout and tokenizer.

    `num_rows` widens the vocabulary: the tokenizer gets a name for every new row, and mask and EOS may move to other
    ids. `shape` are fields of `config.json`.
    """
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | shape
    if max_length is not None:
        config["max_position_embeddings" if "hidden_size" in config else "max_sequence_length"] = max_length
    if num_rows is not None:
        ids = {name: config[name] for name in ("mask_token_id", "eos_token_id", "pad_token_id")}
        asked = {config["mask_token_id"]: mask_token_id, config["eos_token_id"]: eos_token_id}
        moved = {old: new for old, new in asked.items() if new is not None}
        config |= {name: moved.get(token, token) for name, token in ids.items()}
        config |= {"vocab_size": num_rows, "embedding_size": num_rows}
        _widen_tokenizer(folder, num_rows, moved)
        (folder / "generation_config.json").unlink(missing_ok=True)  # it states the old ids
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _write_weights(folder, seed)
    return folder


def _widen_tokenizer(folder: Path, num_rows: int, moved: dict[int, int]) -> None:
    """Every row gets a token, so that all but the mask can be committed, as in the published vocabulary."""
    path = folder / "tokenizer.json"
    tokenizer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    for token in tokenizer["added_tokens"]:
        vocabulary.setdefault(token["content"], token["id"])
        token["id"] = vocabulary[token["content"]] = moved.get(token["id"], token["id"])
    taken = set(vocabulary.values())
    vocabulary.update({f"<row-{row}>": row for row in range(num_rows) if row not in taken})
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    _move_in_settings(folder / "tokenizer_config.json", moved)


def _move_in_settings(path: Path, moved: dict[int, int]) -> None:
    settings = json.loads(path.read_text(encoding="utf-8"))
    if "added_tokens_decoder" in settings:
        decoder = settings["added_tokens_decoder"]
        settings["added_tokens_decoder"] = {
            str(moved.get(int(token), int(token))): entry for token, entry in decoder.items()
        }
        path.write_text(json.dumps(settings), encoding="utf-8")


def family_of(path: Path) -> tuple[Family, Any]:
    """A checkpoint's family, and its configuration in transformers' names."""
    config = Fields("config.json", read_json(path / "config.json"))
    family = recognise(config, FAMILIES)
    return family, family.translate(config)


def _write_weights(folder: Path, seed: int) -> None:
    family, config = family_of(folder)
    with torch.device("meta"):
        shapes = {name: parameter.shape for name, parameter in family.model_class(config).named_parameters()}
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        is_norm = len(shape) == 1 and name.endswith("norm.weight")
        tensor = torch.ones(shape) if is_norm else torch.randn(shape, generator=generator) * 0.05
        weights[family.rename(name)] = tensor.bfloat16()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
