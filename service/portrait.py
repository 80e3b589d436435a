"""What `tie show` tells of one model: family, files, shape, tokenizer, memory; by headers alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from service.inventory import count_text, open_model, plain_table, refusal_of_messages
from service.lines import visible
from service.settings import ModelSettings, Settings
from tie_core.engine.placement import PLANNED_POSITIONS, activation_bytes, readable
from tie_core.errors import CheckpointError, UnknownModelError
from tie_core.models.footprint import read_footprint
from tie_core.models.token_ids import added_tokens
from tie_core.vocabulary import Vocabulary

SHAPE: Final = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "key_value_heads": "num_key_value_heads",
    "mlp_width": "intermediate_size",
    "positions": "max_position_embeddings",
    "vocabulary_rows": "vocab_size",
}
"""Our names of a model's sizes, and transformers'."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """One model. `tokens` are ids and spellings by role; `memory` is in bytes, for so many `positions`."""

    model: ModelSettings
    ensembles: tuple[str, ...]
    family: str
    description: str
    architecture: str
    files: tuple[str, ...]
    stored: Mapping[str, int]  # numbers in the files, by how they are stored
    bytes_on_disk: int
    shape: Mapping[str, int]
    logits_are_shifted: bool
    embeddings_are_tied: bool
    vocabulary: Vocabulary
    tokens: Mapping[str, tuple[int | None, str | None]]
    refuses_messages: str | None
    positions: int
    memory: Mapping[str, int]

    def data(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.model.name,
            "path": str(self.model.path),
            "device": self.model.device,
            "dtype": self.model.dtype,
            "ensembles": list(self.ensembles),
            "family": self.family,
            "architecture": self.architecture,
            "files": {"names": list(self.files), "bytes": self.bytes_on_disk, "stored": dict(self.stored)},
            "parameters": sum(self.stored.values()),
            "shape": dict(self.shape),
            "logits_are_shifted": self.logits_are_shifted,
            "embeddings_are_tied": self.embeddings_are_tied,
            "tokenizer": {
                "size": self.vocabulary.size,
                "fingerprint": self.vocabulary.fingerprint,
                "tokens": {role: {"id": id_, "text": text} for role, (id_, text) in self.tokens.items()},
                "prompt_prefix": list(self.vocabulary.prompt_prefix),
                "takes_messages": self.refuses_messages is None,
            },
            "memory": {"positions": self.positions, **self.memory},
        }


def find_model(named: str, settings: Settings) -> ModelSettings:
    """The configured model of that name, or a checkpoint folder as it would be without further settings.

    Raises:
        UnknownModelError: it is neither.
    """
    for model in settings.models:
        if model.name == named:
            return model
    path = Path(named).expanduser()
    if not path.is_dir():
        known = ", ".join(model.name for model in settings.models)
        raise UnknownModelError(
            "model", f"{named} is neither a configured model ({known}) nor a checkpoint folder: name one of them"
        )
    return ModelSettings.model_construct(name=path.resolve().name, path=path)


def portray(model: ModelSettings, settings: Settings) -> Portrait:
    """Raises TieError for a folder that no member can be made of."""
    opened = open_model(model)
    checkpoint, family, vocabulary = opened.checkpoint, opened.family, opened.vocabulary
    config = family.read_config(checkpoint.config)
    stored: Counter[str] = Counter()
    for tensor in checkpoint.tensors.values():
        stored[tensor.dtype] += tensor.num_elements
    files = {tensor.file for tensor in checkpoint.tensors.values()}
    positions = settings.limits.max_batch_positions or PLANNED_POSITIONS
    footprint = read_footprint(checkpoint.path, model.dtype)
    return Portrait(
        model=model,
        ensembles=tuple(ensemble.name for ensemble in settings.ensembles if model.name in ensemble.models),
        family=family.name,
        description=family.description,
        architecture=", ".join(checkpoint.config.texts("architectures")),
        files=tuple(sorted(file.name for file in files)),
        stored=dict(stored),
        bytes_on_disk=_bytes_of(files),
        shape={ours: int(config[theirs]) for ours, theirs in SHAPE.items()},
        logits_are_shifted=family.logits_are_shifted,
        embeddings_are_tied=bool(config["tie_word_embeddings"]),
        vocabulary=vocabulary,
        tokens=_tokens(checkpoint.path, vocabulary),
        refuses_messages=refusal_of_messages(vocabulary),
        positions=positions,
        memory={
            "weights_bytes": footprint.weights_bytes,
            "activation_bytes": activation_bytes(footprint, positions, model.device),
            "cache_bytes": positions * footprint.cache_bytes,
        },
    )


def _bytes_of(files: set[Path]) -> int:
    try:
        return sum(file.stat().st_size for file in files)
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read ({error.strerror}): restore it") from None


def _tokens(path: Path, vocabulary: Vocabulary) -> dict[str, tuple[int | None, str | None]]:
    spelled = {token: text for text, token in added_tokens(path).items()}
    ids = {
        "mask": vocabulary.mask_id,
        "eos": vocabulary.eos_id,
        "pad": vocabulary.pad_id,
        "end_of_turn": vocabulary.end_of_turn_id,
    }
    return {role: (token, None if token is None else spelled.get(token)) for role, token in ids.items()}


def parts(portrait: Portrait) -> list[Table]:
    """The portrait for a person."""
    model, vocabulary, shape = portrait.model, portrait.vocabulary, portrait.shape
    total = sum(portrait.memory.values())
    stored = " + ".join(f"{count_text(num)} in {dtype}" for dtype, num in portrait.stored.items())
    shown: dict[str, str | Text] = {
        "model": Text(model.name, "bold"),
        "in": ", ".join(portrait.ensembles) or "no ensemble",
        "folder": Text(str(model.path), overflow="fold"),
        "files": f"{', '.join(portrait.files)} ({readable(portrait.bytes_on_disk)})",
        "family": f"{portrait.family}, {portrait.description}",
        "architecture": portrait.architecture,
        "parameters": stored,
        "layers": f"{shape['layers']} of width {shape['width']:,}, MLP {shape['mlp_width']:,}",
        "heads": f"{shape['heads']}, of keys and values {shape['key_value_heads']}",
        "positions": f"{shape['positions']:,}, prompt included",
        "logits": "one row to the left of their position" if portrait.logits_are_shifted else "at their own position",
        "tokenizer": f"{vocabulary.size:,} tokens ({shape['vocabulary_rows']:,} rows), {vocabulary.fingerprint[:8]}",
        "tokens": Text(", ".join(_token_text(role, *token) for role, token in portrait.tokens.items())),
        "messages": portrait.refuses_messages or "by its own chat template",
        "device": f"{model.device}, {model.dtype}",
        "memory": f"{readable(total)} for {portrait.positions:,} positions: {_memory_text(portrait.memory)}",
    }
    table = plain_table("", "")
    table.show_header = False
    for name, value in shown.items():
        table.add_row(Text(name, "dim"), value if isinstance(value, Text) else Text(value))
    return [table]


def _token_text(role: str, token: int | None, text: str | None) -> str:
    name = role.replace("_", " ")
    return f"no {name}" if token is None else f"{name} {token} {visible(text or '')}".rstrip()


def _memory_text(memory: Mapping[str, int]) -> str:
    return " + ".join(
        f"{readable(memory[key])} {words}"
        for key, words in (
            ("weights_bytes", "weights"),
            ("activation_bytes", "activations"),
            ("cache_bytes", "window cache"),
        )
    )
