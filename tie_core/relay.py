"""The relay: the leader's canvas, given to every member in its own tokens. Section 4.3.

Runs no model. A view is made once a round and used twice: cross-model scoring reads it, the relay writes it.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from tie_core.canvas import Canvas
from tie_core.options import RelayResult
from tie_core.transcode import Transcoded, committed_prefix_text, transcode
from tie_core.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Relayed:
    """What the relay did to one member: how the canvas arrived and how many positions had to be masked again."""

    member: int
    result: RelayResult
    remasked: int


class Views:
    """Every trajectory's end as each member sees it, transcoded at most once."""

    def __init__(self, ends: Sequence[Canvas], vocabularies: Sequence[Vocabulary]) -> None:
        self._ends = ends
        self._vocabularies = vocabularies
        self._views: dict[tuple[int, int], Transcoded] = {}

    def view(self, source: int, receiver: int) -> Transcoded:
        key = (source, receiver)
        if key not in self._views:
            self._views[key] = self._transcode(source, receiver)
        return self._views[key]

    def _transcode(self, source: int, receiver: int) -> Transcoded:
        if source == receiver:
            return Transcoded(self._ends[source], "identical", 0)
        return transcode(
            self._ends[source], self._vocabularies[source], self._ends[receiver], self._vocabularies[receiver]
        )

    def relay(self, leader: int) -> tuple[tuple[Canvas, ...], tuple[Relayed, ...]]:
        """All canvases after the leader's was handed over. A member in which it overflows keeps its own."""
        views = [self.view(leader, receiver) for receiver in range(len(self._ends))]
        canvases = tuple(view.canvas or own for view, own in zip(views, self._ends, strict=True))
        relayed = tuple(
            Relayed(member, view.result, view.remasked) for member, view in enumerate(views) if member != leader
        )
        return canvases, relayed

    def prefixes(self) -> tuple[bytes, ...]:
        """The text of each member's committed prefix."""
        return tuple(
            committed_prefix_text(end, vocabulary)
            for end, vocabulary in zip(self._ends, self._vocabularies, strict=True)
        )


def extends(prefix: bytes, handed_over: bytes) -> bool:
    """The progress rule: what a relay handed over is never taken back, so only who goes on from it may lead.

    Its last character may still grow by a combining mark (the texts are in composed form).
    """
    text = handed_over.decode("utf-8", "surrogateescape")
    while text and unicodedata.combining(text[-1]):
        text = text[:-1]
    settled = text[:-1].encode("utf-8", "surrogateescape")
    return len(prefix) >= len(handed_over) and prefix.startswith(settled)
