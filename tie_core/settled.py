"""The text of a request that no later relay, step or choice can change: what a stream may send for good. Ours.

After a relay every member goes on from its own canvas, behind what is committed there, and whoever leads next hands on
text that begins with that. So the beginning that all members' texts share is settled.
"""

import unicodedata
from collections.abc import Sequence

from tie_core.canvas import Canvas
from tie_core.ending import Ending
from tie_core.transcode import whole_characters
from tie_core.vocabulary import Vocabulary


class SettledText:
    """Grows from relay to relay; what it has told is always the beginning of the request's final text."""

    def __init__(self, vocabularies: Sequence[Vocabulary], ending: Ending) -> None:
        self._vocabularies = vocabularies
        self._ending = ending
        self._is_transcoded = len({vocabulary.fingerprint for vocabulary in vocabularies}) > 1
        self._num_told = 0

    def advance(self, canvases: Sequence[Canvas]) -> str:
        """What is settled beyond what was told before, given the members' canvases after a relay."""
        texts = [
            committed_text(canvas, vocabulary) for canvas, vocabulary in zip(canvases, self._vocabularies, strict=True)
        ]
        shared = _shared_beginning(texts)
        settled = self._ending.safe(_unmoved_by_composition(shared) if self._is_transcoded else shared)
        start, self._num_told = self._num_told, max(self._num_told, len(settled))
        return settled[start:]


def committed_text(canvas: Canvas, vocabulary: Vocabulary) -> str:
    """The text up to the first mask, suffix included, without a character that is half there."""
    text = ""
    for region in canvas.layout.regions:
        ids = canvas.generated[region.start : region.stop]
        first_masked = ids.index(canvas.layout.mask_id) if canvas.layout.mask_id in ids else None
        data = vocabulary.text_bytes(vocabulary.until_end(ids[:first_masked]))
        if first_masked is not None:
            return text + whole_characters(data).decode(errors="replace")
        text += data.decode(errors="replace")
    return text


def _unmoved_by_composition(text: str) -> str:
    """Without what a receiver's tokenizer may compose with what follows: it writes text in its composed form (NFC)."""
    text = _shared_beginning([text, unicodedata.normalize("NFC", text)])
    while text and unicodedata.combining(text[-1]):
        text = text[:-1]
    return text[:-1]


def _shared_beginning(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)  # no text lies between them that differs sooner
    length = next(
        (index for index, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first)
    )
    return first[:length]
