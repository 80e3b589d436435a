"""How exactly text passes from one member's tokens to another's, measured: sample texts, cut behind every token.

A committed prefix arrives whole by construction; what differs between tokenizers is where one ends inside a character,
and how many tokens the same text takes, which decides whether it still fits. Runs no model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.transcode import Transcoded, committed_prefix_text, transcode
from tie_core.vocabulary import Vocabulary

SAMPLES: Final = (
    " rev=951413 inc=382939 add=696976",
    "Natalia sold 48 clips in April and half as many in May: 48 + 24 = 72.",
    "The set of x with x^2 - 5x + 6 = 0 is {2, 3}; so $\\frac{2}{3}$ < 1.",
    "def area(radius: float) -> float:\n    return 3.14159 * radius ** 2\n",
    '{"name": "Ada", "born": 1815, "tags": ["maths", "engines"]}',
    "Straße, naïve, façade, œuvre; el niño corrió; Ångström.",
    "cafe\u0301 and Zu\u0308rich, spelled with combining marks",
    "Солнце встаёт на востоке, и день начинается.",
    "東京は日本の首都で、約千四百万人が住んでいる。",
    "한국어 문장도 토큰으로 나뉩니다.",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "Party 🎉 with 👩‍👩‍👧 at 5 o'clock — don't be late…",
)
ANSWER: Final = 1  # a masked answer position: the reasoning is still open, as at most relays


@dataclass(frozen=True, slots=True)
class Exactness:
    """One direction. Of so many prefixes `num_exact` arrived with their text and nothing masked again, `num_cut` but
    for a last half character, `num_refused` have bytes that the receiver has no token for, and `num_changed` arrived
    with another text, which would be a bug. `num_back` came back from there with the same text.
    `tokens_per_token` is how many of the receiver's tokens one of the source's becomes; `most` in a single sample.
    """

    source: str
    receiver: str
    num_prefixes: int
    num_exact: int
    num_cut: int
    num_refused: int
    num_changed: int
    num_back: int
    tokens_per_token: float
    most: float


def measure_exactness(source: Vocabulary, receiver: Vocabulary, names: tuple[str, str]) -> Exactness:
    """Relay every beginning of the samples from one to the other, and back."""
    counts = {"exact": 0, "cut": 0, "refused": 0, "changed": 0}
    num_prefixes = num_back = 0
    for prefix, before in _prefixes(source, receiver):
        there = transcode(prefix, source, before, receiver)
        num_prefixes += 1
        counts[_outcome(prefix, source, there, receiver)] += 1
        num_back += there.canvas is not None and _comes_back(prefix, source, there.canvas, receiver)
    lengths = [(len(source.encode(text)), len(receiver.encode(text))) for text in SAMPLES]
    return Exactness(
        *names,
        num_prefixes,
        counts["exact"],
        counts["cut"],
        counts["refused"],
        counts["changed"],
        num_back,
        tokens_per_token=sum(theirs for _, theirs in lengths) / sum(ours for ours, _ in lengths),
        most=max(theirs / ours for ours, theirs in lengths),
    )


def _prefixes(source: Vocabulary, receiver: Vocabulary) -> Iterator[tuple[Canvas, Canvas]]:
    """Every committed prefix on a canvas of `source`, and the blank one of `receiver` that it is relayed to."""
    for text in SAMPLES:
        tokens = source.encode(text)
        room = 1 + len(text.encode())  # enough for a token a byte
        blanks = [
            blank_canvas((), (), Layout(room, 0, ANSWER, room, each.mask_id, each.eos_id))
            for each in (source, receiver)
        ]
        for length in range(1, len(tokens) + 1):
            generated = tokens[:length] + blanks[0].generated[length:]
            yield blanks[0].with_generated(generated, 0), blanks[1]


def _outcome(prefix: Canvas, source: Vocabulary, there: Transcoded, receiver: Vocabulary) -> str:
    if there.canvas is None:
        return "refused"
    if committed_prefix_text(prefix, source) != committed_prefix_text(there.canvas, receiver):
        return "changed"
    return "cut" if there.remasked else "exact"


def _comes_back(prefix: Canvas, source: Vocabulary, there: Canvas, receiver: Vocabulary) -> bool:
    back = transcode(there, receiver, prefix, source).canvas
    return back is not None and committed_prefix_text(back, source) == committed_prefix_text(prefix, source)
