"""The special tokens of a checkpoint, found in its own files. No id is known to the code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tie_core.errors import CheckpointError, UnsupportedModelError
from tie_core.models.checkpoint import Checkpoint, read_json

TOKENIZER_FILES: Final = ("tokenizer_config.json", "added_tokens.json", "tokenizer.json")
"""Where added tokens are listed, the smallest files first."""


@dataclass(frozen=True, slots=True)
class TokenIds:
    """`mask` is None only where a folder has no tokenizer files that could name it; `end_of_turn` where
    there is none.
    """

    mask: int | None
    eos: int
    pad: int
    end_of_turn: int | None


def read_token_ids(checkpoint: Checkpoint, *, mask_token: str | None, end_of_turn: str, vocab_rows: int) -> TokenIds:
    """The ids that the configuration states, and those of the tokens spelled `end_of_turn` and `mask_token`.

    Raises UnsupportedModelError where nothing names a mask token, CheckpointError for an id outside the
    vocabulary.
    """
    added = added_tokens(checkpoint.path)
    eos, pad = _stated(checkpoint, "eos_token_id"), _stated(checkpoint, "pad_token_id")
    if eos is None:
        raise CheckpointError("config.json has no eos_token_id: restore the checkpoint's own config.json")
    ids = TokenIds(
        mask=_mask_id(checkpoint, mask_token, added),
        eos=eos,
        pad=eos if pad is None else pad,
        end_of_turn=added.get(end_of_turn),
    )
    _check_rows(ids, vocab_rows)
    return ids


def _mask_id(checkpoint: Checkpoint, mask_token: str | None, added: dict[str, int]) -> int | None:
    stated = _stated(checkpoint, "mask_token_id")
    if stated is not None or mask_token in added or (mask_token is not None and not added):
        return stated if stated is not None else added.get(mask_token or "")
    tokenizer = f" and the tokenizer has no {mask_token}" if mask_token else ""
    raise UnsupportedModelError(
        f"no mask token: config.json names no mask_token_id{tokenizer}; TIE ensembles masked diffusion "
        "models, which have one: use such a checkpoint, with its own config.json"
    )


def _stated(checkpoint: Checkpoint, name: str) -> int | None:
    token_id = checkpoint.config.token_id(name)
    return checkpoint.generation_config.token_id(name) if token_id is None else token_id


def _check_rows(ids: TokenIds, vocab_rows: int) -> None:
    roles = {"mask": ids.mask, "EOS": ids.eos, "pad": ids.pad, "end-of-turn": ids.end_of_turn}
    for role, token_id in roles.items():
        if token_id is not None and token_id >= vocab_rows:
            raise CheckpointError(
                f"the {role} token's id is {token_id}, but the vocabulary has {vocab_rows} rows: the folder "
                "mixes files of different models"
            )


def added_tokens(path: Path) -> dict[str, int]:
    """Spelling to id of all added tokens; empty where the folder has no tokenizer files."""
    added: dict[str, int] = {}
    for name in TOKENIZER_FILES:
        if (path / name).is_file() and not added:
            added = _parse_added_tokens(name, read_json(path / name))
    return added


def _parse_added_tokens(name: str, content: dict[str, Any]) -> dict[str, int]:
    try:
        match name:
            case "tokenizer_config.json":
                decoder = content.get("added_tokens_decoder") or {}
                return {str(token["content"]): int(token_id) for token_id, token in decoder.items()}
            case "added_tokens.json":
                return {spelling: int(token_id) for spelling, token_id in content.items()}
            case _:
                tokens = content.get("added_tokens") or []
                return {str(token["content"]): int(token["id"]) for token in tokens}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{name} lists its added tokens in an unknown form: restore it") from error
