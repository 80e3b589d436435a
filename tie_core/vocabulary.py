"""One member's tokenizer as TIE sees it: tokens as bytes, text as tokens, and the ids with a meaning.

Knows no model. Text never becomes a special token here, whatever it spells. Every id comes from the checkpoint.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from tie_core.chat_template import AddedToken, ChatTemplate, Message, check_text
from tie_core.errors import CheckpointError

END_OF_TURN_NAMES: Final = ("<|eot_id|>", "<|im_end|>")
PROBE: Final = " a\n\nB 12\u00e9\u20ac\U0001f600"
"""Text that a byte-level tokenizer gives back exactly."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vocabulary:
    """A member's tokens. Safe to share between threads.

    `size` is one more than the highest id with a token behind it. `end_ids` are EOS, padding and end of turn:
    they carry no text. `prompt_prefix` is what the tokenizer puts before a raw prompt (usually nothing). Two
    vocabularies with the same `fingerprint` mean the same by every id and split every text alike.
    """

    name: str
    size: int
    mask_id: int
    eos_id: int
    pad_id: int
    end_of_turn_id: int | None
    end_ids: frozenset[int]
    prompt_prefix: tuple[int, ...]
    fingerprint: str
    _token_bytes: tuple[bytes | None, ...] = field(repr=False)  # [size], None where no token is
    _byte_tokens: tuple[int | None, ...] = field(repr=False)  # [256]
    _text_tokenizer: Tokenizer = field(repr=False)
    _chat_template: ChatTemplate = field(repr=False)

    def forbidden_ids(self, vocab_rows: int) -> tuple[int, ...]:
        """The ids that a step may never commit: the mask, and the model's rows with no token behind them."""
        rows = range(min(self.size, vocab_rows))
        empty = {token for token in rows if self._token_bytes[token] is None}
        return tuple(sorted(empty | {self.mask_id} | set(range(self.size, vocab_rows))))

    def token_bytes(self, token: int) -> bytes:
        """The text of one token as UTF-8, which may end inside a character. Special tokens have none."""
        return (self._token_bytes[token] or b"") if 0 <= token < self.size else b""

    def text_bytes(self, tokens: Iterable[int]) -> bytes:
        return b"".join(map(self.token_bytes, tokens))

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens, special ones left out, with U+FFFD for bytes that are no whole character."""
        return self.text_bytes(tokens).decode("utf-8", errors="replace")

    def until_end(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """The tokens before the first end token."""
        end = next((index for index, token in enumerate(tokens) if token in self.end_ids), len(tokens))
        return tuple(tokens[:end])

    def byte_token(self, byte: int) -> int | None:
        """The token that is this one byte, if there is one (byte-level vocabularies have all 256)."""
        return self._byte_tokens[byte]

    def encode(self, text: str) -> tuple[int, ...]:
        """Text as text: a special or added token that it spells is encoded like any other text.

        Raises:
            PromptError: the text holds a lone surrogate.
        """
        check_text(text, "prompt")
        # The batch call gives the interpreter lock away, which a single one holds for all of a long text.
        (encoded,) = self._text_tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return tuple(encoded.ids)

    def render_chat(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The checkpoint's own chat template, its special tokens as ids and the messages as text.

        Raises:
            PromptError: no chat template, or messages without a valid form.
        """
        tokens: list[int] = []
        for piece in self._chat_template.render(messages):
            if isinstance(piece, int):
                tokens.append(piece)
            else:
                tokens.extend(self.encode(piece))
        return tuple(tokens)


def load_vocabulary(
    path: str | Path, *, mask_id: int, eos_id: int, pad_id: int | None = None, vocab_rows: int
) -> Vocabulary:
    """The tokenizer of a checkpoint folder: `tokenizer.json`, or Qwen2's `vocab.json` and `merges.txt`.

    Reads the folder only: no code of the checkpoint runs and no network is used. `vocab_rows` is how many
    tokens the model predicts.

    Raises:
        CheckpointError: files are missing or damaged, or the tokenizer is not byte-level or not the model's.
    """
    path = Path(path)
    tokenizer = _read_tokenizer(path)
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    added = [_added_token(entry) for entry in spec["added_tokens"]]
    pad_id = eos_id if pad_id in (None, mask_id) else pad_id
    end_of_turn_id = _end_of_turn(added)
    declared = (eos_id, pad_id, end_of_turn_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    end_ids = frozenset(token for token in declared if token is not None) - {mask_id}
    token_bytes = _bytes_by_id(spec["model"]["vocab"], added, end_ids | {mask_id})
    _check_fit(path.name, token_bytes, {"mask": mask_id, "EOS": eos_id, "padding": pad_id}, vocab_rows)
    vocabulary = Vocabulary(
        name=path.name,
        size=len(token_bytes),
        mask_id=mask_id,
        eos_id=eos_id,
        pad_id=pad_id,
        end_of_turn_id=end_of_turn_id,
        end_ids=end_ids,
        prompt_prefix=_prompt_prefix(tokenizer),
        fingerprint=_fingerprint(spec, mask_id),
        _token_bytes=token_bytes,
        _byte_tokens=_byte_tokens(token_bytes),
        _text_tokenizer=_text_tokenizer(spec, {token.content for token in added}),
        _chat_template=ChatTemplate(tokenizer, added),
    )
    if vocabulary.decode(vocabulary.encode(PROBE)) != PROBE:
        raise CheckpointError(f"{path.name}: the tokenizer is not byte-level (text does not come back unchanged)")
    return vocabulary


def _read_tokenizer(path: Path) -> Any:
    if (path / "tokenizer.json").is_file():
        tokenizer_class = PreTrainedTokenizerFast
    elif (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
        tokenizer_class = Qwen2Tokenizer
    else:
        raise CheckpointError(f"{path}: no tokenizer; expected tokenizer.json, or vocab.json and merges.txt")
    try:
        tokenizer = tokenizer_class.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # the Rust parser raises Exception itself
        raise CheckpointError(f"{path}: the tokenizer files cannot be read ({error}): fetch them again") from error
    if type(tokenizer.backend_tokenizer.model).__name__ != "BPE":
        raise CheckpointError(f"{path}: the tokenizer is no byte-level BPE, so its tokens cannot be relayed")
    return tokenizer


def _added_token(entry: dict[str, Any]) -> AddedToken:
    return AddedToken(entry["id"], entry["content"], entry["special"], entry["lstrip"], entry["rstrip"])


def _end_of_turn(added: Iterable[AddedToken]) -> int | None:
    ids = {token.content: token.id for token in added}
    return next((ids[name] for name in END_OF_TURN_NAMES if name in ids), None)


def _bytes_by_id(
    vocabulary: dict[str, int], added: Iterable[AddedToken], textless: frozenset[int]
) -> tuple[bytes | None, ...]:
    """The bytes of every id from 0 to the highest; None for an id that no token has."""
    alphabet = {ord(character): byte for byte, character in enumerate(_byte_alphabet())}
    known: dict[int, bytes] = {}
    for text, token in vocabulary.items():
        is_byte_level = all(ord(character) in alphabet for character in text)
        known[token] = text.translate(alphabet).encode("latin-1") if is_byte_level else text.encode("utf-8")
    for entry in added:
        known[entry.id] = b"" if entry.special else entry.content.encode("utf-8")
    known.update((token, b"") for token in textless & known.keys())
    return tuple(known.get(token) for token in range(max(known, default=-1) + 1))


def _byte_alphabet() -> str:
    """The character that stands for each byte in a byte-level BPE: itself, or one from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return "".join(chr(byte) if byte in visible else chr(next(hidden)) for byte in range(256))


def _byte_tokens(token_bytes: Sequence[bytes | None]) -> tuple[int | None, ...]:
    single: dict[int, int] = {}
    for token, data in enumerate(token_bytes):
        if data is not None and len(data) == 1:
            single.setdefault(data[0], token)
    return tuple(single.get(byte) for byte in range(256))


def _check_fit(name: str, token_bytes: Sequence[bytes | None], ids: dict[str, int], vocab_rows: int) -> None:
    if len(token_bytes) > vocab_rows:
        raise CheckpointError(
            f"{name}: the tokenizer has ids up to {len(token_bytes) - 1}, the model only {vocab_rows} rows:"
            " the files are from different checkpoints"
        )
    for role, token in ids.items():
        if not 0 <= token < vocab_rows:
            raise CheckpointError(f"{name}: the {role} token {token} is outside the model's {vocab_rows} rows")


def _prompt_prefix(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer itself writes before any text, such as BOS."""
    plain = tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True).ids
    return tuple(whole[: whole.index(plain[0])])


def _fingerprint(spec: dict[str, Any], mask_id: int) -> str:
    tokens = {**spec["model"]["vocab"], **{entry["content"]: entry["id"] for entry in spec["added_tokens"]}}
    meaning = [
        sorted(tokens.items()),
        spec["model"]["merges"],
        spec["normalizer"],
        spec["pre_tokenizer"],
        [spec["model"].get(name) for name in ("ignore_merges", "byte_fallback", "continuing_subword_prefix")],
        sorted(entry["content"] for entry in spec["added_tokens"] if entry["special"]),
        mask_id,
    ]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def _text_tokenizer(spec: dict[str, Any], added: set[str]) -> Tokenizer:
    """The same tokenizer without any token that is found by its spelling."""
    model = dict(spec["model"])
    model["vocab"] = {text: token for text, token in model["vocab"].items() if text not in added}
    model["merges"] = [
        [left, right] for left, right in model["merges"] if added.isdisjoint((left, right, left + right))
    ]
    bare: dict[str, Any] = {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    return Tokenizer.from_str(json.dumps({**spec, **bare, "model": model}))
