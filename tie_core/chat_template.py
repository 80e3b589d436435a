"""A checkpoint's chat template, applied so that a message stays text whatever it spells.

Knows no model and encodes nothing: it gives text pieces and the ids of the special tokens that the template
itself writes. A special token spelled inside a message does not become one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from jinja2 import TemplateError

from tie_core.errors import PromptError

Message = Mapping[str, Any]
"""`{"role": "system" | "user" | "assistant", "content": str or a list of {"type": "text", "text": str}}`."""

ROLES: Final = ("system", "user", "assistant")
PRIVATE_USE: Final = range(0xF0000, 0xFFFFE)
"""Characters that mean nothing in Unicode: they stand for shielded text while the template is rendered."""


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that a tokenizer finds by its spelling. `lstrip` and `rstrip` eat the spaces beside it."""

    id: int
    content: str
    special: bool
    lstrip: bool = False
    rstrip: bool = False


class ChatTemplate:
    """Messages in, pieces out: `str` is text to encode as text, `int` is a token that the template wrote."""

    def __init__(self, tokenizer: Any, added_tokens: Iterable[AddedToken]) -> None:
        """`tokenizer` is transformers' own, which renders its template in jinja's sandbox."""
        self._tokenizer = tokenizer
        self._tokens = {token.content: token for token in added_tokens}
        self._spelling = re.compile(_any_of(self._tokens) or r"(?!)")
        self._heads = {literal[:end] for literal in self._tokens for end in range(1, len(literal))}
        self._tails = {literal[start:] for literal in self._tokens for start in range(1, len(literal))}
        self._longest = max(map(len, self._tokens), default=0)

    def render(self, messages: Sequence[Message]) -> list[str | int]:
        """The prompt with the assistant's header at its end.

        Raises:
            PromptError: the messages have no valid form, or the template refuses them.
        """
        checked = check_messages(messages)
        if not self._tokenizer.chat_template:
            raise PromptError("messages", "this model has no chat template: send `prompt` instead of `messages`")
        shield = _Shield(content for _, content in checked)
        shielded = [{"role": role, "content": self._hide_spellings(content, shield)} for role, content in checked]
        return list(self._pieces(self._rendered(shielded), shield))

    def _rendered(self, messages: list[dict[str, str]]) -> str:
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            # Only what the template itself says may be shown: other errors can quote the message.
            reason = f" ({error})" if type(error) is TemplateError else ""
            raise PromptError(
                "messages",
                f"the model's chat template refuses these messages{reason}: change roles or their order",
            ) from error
        assert isinstance(text, str)
        return text

    def _hide_spellings(self, content: str, shield: "_Shield") -> str:
        """No token's spelling is left, not even one that the text around the content would complete."""
        content = self._spelling.sub(lambda match: shield.hide(match[0]), content)
        start, end = len(content) - len(content.lstrip()), len(content.rstrip())
        opening = range(max(start, end - self._longest), end)
        closing = range(start, min(end, start + self._longest))
        hidden = {index for index in opening if content[index:end] in self._heads}
        hidden |= {index for index in closing if content[start : index + 1] in self._tails}
        characters = list(content) if hidden else [content]
        for index in hidden:
            characters[index] = shield.hide(characters[index])
        return "".join(characters)

    def _pieces(self, text: str, shield: "_Shield") -> Iterator[str | int]:
        start = 0
        for match in self._spelling.finditer(text):
            token = self._tokens[match[0]]
            before = text[start : match.start()]
            yield from shield.reveal(before.rstrip() if token.lstrip else before)
            yield token.id
            start = match.end()
            if token.rstrip:
                start = len(text) - len(text[start:].lstrip())
        yield from shield.reveal(text[start:])


def check_messages(messages: object) -> list[tuple[str, str]]:
    """Role and content of each message.

    Raises:
        PromptError: no message, an unknown role, content that is no text, a system message behind another.
    """
    if isinstance(messages, str | bytes) or not isinstance(messages, Sequence) or not messages:
        raise PromptError("messages", "messages is a list with at least one message")
    checked = [_check_message(index, message) for index, message in enumerate(messages)]
    if any(role == "system" for role, _ in checked[1:]):
        raise PromptError("messages", "a system message is allowed only as the first message: move it there")
    return checked


def check_text(text: str, param: str) -> None:
    """Raises:
    PromptError: the text holds a lone surrogate, which no encoding of Unicode can carry.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(
            param,
            f"character {error.start} is a lone surrogate (half of a UTF-16 pair): send whole characters",
        ) from None


def _check_message(index: int, message: object) -> tuple[str, str]:
    where = f"messages[{index}]"
    if not isinstance(message, Mapping):
        raise PromptError("messages", f"{where} is an object with `role` and `content`")
    role = message.get("role")
    if role not in ROLES:
        raise PromptError("messages", f"{where}.role is one of {', '.join(ROLES)}")
    content = _joined_text(message.get("content"))
    if content is None:
        raise PromptError("messages", f'{where}.content is a string or a list of {{"type": "text", "text": string}}')
    check_text(content, "messages")
    return role, content


def _joined_text(content: object) -> str | None:
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return None
    texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    if len(texts) != len(content) or not all(isinstance(text, str) for text in texts):
        return None
    return "".join(map(str, texts))


class _Shield:
    """Hides pieces of text behind single private-use characters that the messages do not use themselves."""

    def __init__(self, contents: Iterable[str]) -> None:
        used = set(chain.from_iterable(contents))
        self._free = (character for character in map(chr, PRIVATE_USE) if character not in used)
        self._nonces: dict[str, str] = {}
        self._hidden: dict[int, str] = {}

    def hide(self, text: str) -> str:
        if text not in self._nonces:
            nonce = next(self._free, None)
            if nonce is None:
                raise PromptError("messages", "the messages use every private-use character: leave some out")
            self._nonces[text] = nonce
            self._hidden[ord(nonce)] = text
        return self._nonces[text]

    def reveal(self, text: str) -> Iterator[str]:
        """The text as it was; nothing if it is empty."""
        if text:
            yield text.translate(self._hidden) if self._hidden else text


def _any_of(literals: Iterable[str]) -> str:
    """A pattern that finds the longest of `literals` at a place. A trie, so their number costs nothing."""
    branches: dict[str, list[str]] = {}
    for literal in literals:
        if literal:
            branches.setdefault(literal[0], []).append(literal[1:])
    pattern = "|".join(re.escape(first) + _rest(rests) for first, rests in branches.items())
    return f"(?:{pattern})" if len(branches) > 1 else pattern


def _rest(rests: list[str]) -> str:
    pattern = _any_of(rests)
    return f"(?:{pattern})?" if pattern and "" in rests else pattern
