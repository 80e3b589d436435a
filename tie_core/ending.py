"""Where a request's text ends before its canvas does: at a stop string, or after so many tokens.

Cuts what is told, never what is decoded. Knows no canvas.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tie_core.errors import OptionsError
from tie_core.vocabulary import Vocabulary

MAX_STOPS: Final = 4
MAX_STOP_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """A generated text by its regions; the whole text is the three in a row."""

    reasoning: str
    suffix: str
    answer: str

    @property
    def text(self) -> str:
        return self.reasoning + self.suffix + self.answer

    def cut(self, length: int) -> "Parts":
        """The first `length` characters."""
        after_reasoning = max(0, length - len(self.reasoning))
        after_suffix = max(0, after_reasoning - len(self.suffix))
        return Parts(self.reasoning[:length], self.suffix[:after_reasoning], self.answer[:after_suffix])


@dataclass(frozen=True, slots=True)
class Ending:
    """The text ends where the first of the strings `stop` begins, and after `max_tokens` tokens with text."""

    stop: tuple[str, ...] = ()
    max_tokens: int | None = None

    def of(self, tokens: Sequence[tuple[int, ...]], vocabulary: Vocabulary) -> tuple[Parts, bool]:
        """The text of reasoning, suffix and answer tokens, and whether a stop string ended it."""
        reasoning, suffix, answer = (vocabulary.decode(ids) for ids in self._limited(tokens, vocabulary))
        parts = Parts(reasoning, suffix, answer)
        found = self._first_stop(parts.text)
        return (parts, False) if found is None else (parts.cut(found), True)

    def safe(self, text: str) -> str:
        """As much of the beginning of a text as is told for sure, whatever follows: a stop string may be half there."""
        if self.max_tokens is not None:  # every token that counts has a byte
            text = text.encode()[: self.max_tokens].decode(errors="ignore")
        found = self._first_stop(text)
        tail = range(max(0, len(text) - MAX_STOP_CHARS), len(text))
        begun = next((start for start in tail if self._may_stop_at(text, start)), len(text))
        return text[: begun if found is None else min(found, begun)]

    def drops_some_of(self, tokens: Sequence[tuple[int, ...]], vocabulary: Vocabulary) -> bool:
        """Whether the limit leaves tokens with text out."""
        num_with_text = sum(bool(vocabulary.token_bytes(token)) for ids in tokens for token in ids)
        return self.max_tokens is not None and num_with_text > self.max_tokens

    def _limited(self, tokens: Sequence[tuple[int, ...]], vocabulary: Vocabulary) -> list[tuple[int, ...]]:
        if self.max_tokens is None:
            return list(tokens)
        left, limited = self.max_tokens, []
        for ids in tokens:
            with_text = [token for token in ids if vocabulary.token_bytes(token)]
            limited.append(tuple(with_text[:left]))
            left -= len(limited[-1])
        return limited

    def _first_stop(self, text: str) -> int | None:
        return min((start for stop in self.stop if (start := text.find(stop)) >= 0), default=None)

    def _may_stop_at(self, text: str, start: int) -> bool:
        return any(len(stop) > len(text) - start and stop.startswith(text[start:]) for stop in self.stop)


NO_ENDING: Final = Ending()


def make_ending(stop: str | Sequence[str] = (), max_tokens: int | None = None) -> Ending:
    """Raises:
    OptionsError: too many, too long or empty strings; no number above 0.
    """
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    if len(stops) > MAX_STOPS or not all(0 < len(one) <= MAX_STOP_CHARS for one in stops):
        raise OptionsError("stop", f"stop is up to {MAX_STOPS} strings of 1 to {MAX_STOP_CHARS} characters")
    if max_tokens is not None and max_tokens < 1:
        raise OptionsError("max_tokens", "max_tokens is a whole number above 0")
    return Ending(stops, max_tokens)
