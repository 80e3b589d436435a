"""A canvas from one tokenizer to another: how a relay reaches a member that reads other tokens.

Knows no model. The paper relays between tokenizers and does not say how: the rules are ours. Committed
tokens become bytes, run by run, and then the receiver's tokens; masks stay masks; regions keep their places.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, takewhile
from typing import Final

from tie_core.canvas import Canvas
from tie_core.options import RelayResult
from tie_core.vocabulary import Vocabulary

DIGITS: Final = b"0123456789"
CONTINUATION_BYTES: Final = bytes(range(0x80, 0xC0))
HALF_CHARACTER: Final = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
STRAY_BYTES: Final = re.compile("([\udc80-\udcff]+)")
"""Bytes that belong to no character, as `surrogateescape` shows them."""


@dataclass(frozen=True, slots=True)
class Transcoded:
    """What the receiver gets: None if it overflows. `remasked` counts the leader's committed tokens left out.

    `identical`: the receiver has this very canvas already. `copied`: same vocabulary, same ids. `overflow`:
    the committed prefix does not fit the region, or has bytes that the receiver has no tokens for.
    """

    canvas: Canvas | None
    result: RelayResult
    remasked: int


def transcode(canvas: Canvas, source: Vocabulary, target_canvas: Canvas, target: Vocabulary) -> Transcoded:
    """`canvas` as the receiver holds it: the leader's reasoning and answer around the receiver's own suffix.

    A committed prefix arrives whole, but for a last half character. Islands behind a mask keep their order
    and gaps; one that does not fit is masked again, and so are half a number or character at its edges.
    """
    assert canvas.layout.reasoning == target_canvas.layout.reasoning
    assert canvas.layout.answer == target_canvas.layout.answer
    reasoning = _ids(canvas, canvas.layout.reasoning_region)
    answer = _ids(canvas, canvas.layout.answer_region)
    if source.fingerprint == target.fingerprint:
        shift = target_canvas.layout.suffix - canvas.layout.suffix
        origin = canvas.block_origin + (shift if canvas.block_origin >= canvas.layout.reasoning else 0)
        return _transcoded(_rewritten(target_canvas, reasoning, answer, origin), target_canvas, "copied", 0)
    # An answer stands behind complete reasoning only: once it is begun, reasoning is closed in every member.
    is_answering = any(token != source.mask_id for token in answer) or not answer
    regions = (
        _Region(reasoning, source, target, is_closed=is_answering),
        _Region(answer, source, target, is_closed=True),
    )
    if not all(region.carry() for region in regions):
        return Transcoded(None, "overflow", 0)
    received = _rewritten(target_canvas, regions[0].tokens, regions[1].tokens, None)
    return _transcoded(received, target_canvas, "transcoded", sum(region.num_remasked for region in regions))


def committed_prefix_text(canvas: Canvas, vocabulary: Vocabulary) -> bytes:
    """The text up to the first mask, through the answer once the reasoning is complete, without the suffix.

    It is what every receiver can hold of it: in Unicode's composed form (NFC), without halves of characters at
    its end.
    """
    tokens: tuple[int, ...] = ()
    for region in (canvas.layout.reasoning_region, canvas.layout.answer_region):
        ids = _ids(canvas, region)
        if vocabulary.mask_id in ids:
            tokens += ids[: ids.index(vocabulary.mask_id)]
            break
        tokens += ids
    text = whole_characters(vocabulary.text_bytes(tokens)).decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")


def whole_characters(data: bytes) -> bytes:
    """Without the bytes at its end that only begin a character."""
    while num_bytes := _half_character_at_end(data):
        data = data[:-num_bytes]
    return data


def _ids(canvas: Canvas, region: range) -> tuple[int, ...]:
    return canvas.generated[region.start : region.stop]


def _rewritten(
    target_canvas: Canvas, reasoning: Sequence[int], answer: Sequence[int], block_origin: int | None
) -> Canvas:
    """The receiver's canvas with other regions; by default its blocks start anew at its first mask."""
    suffix = _ids(target_canvas, target_canvas.layout.suffix_region)
    generated = (*reasoning, *suffix, *answer)
    if block_origin is None:
        mask_id = target_canvas.layout.mask_id
        block_origin = generated.index(mask_id) if mask_id in generated else 0
    return target_canvas.with_generated(generated, block_origin)


def _transcoded(received: Canvas, target_canvas: Canvas, result: RelayResult, num_remasked: int) -> Transcoded:
    return Transcoded(received, "identical" if received == target_canvas else result, num_remasked)


@dataclass(slots=True)
class _Region:
    """One region on its way: `ids` are the leader's, `tokens` the receiver's, in as many positions.

    A closed region is complete if the leader's is: end tokens take the positions that the receiver's text
    does not need. An open one leaves masks there, and the receiver may go on.
    """

    ids: tuple[int, ...]
    source: Vocabulary
    target: Vocabulary
    is_closed: bool
    tokens: list[int] = field(default_factory=list)
    gap: int = 0  # masks to write before the next run
    num_remasked: int = 0

    def carry(self) -> bool:
        """Fill `tokens`. False if the prefix overflows."""
        tail = self._tail_start()
        position = 0
        for is_mask, run in groupby(self.ids[:tail], key=self.source.mask_id.__eq__):
            ids = tuple(run)
            if is_mask:
                self.gap += len(ids)
            elif position:
                self._place_island(ids, is_open=self._is_open_at(position + len(ids)))
            elif not self._place_prefix(ids, is_open=self._is_open_at(len(ids))):
                return False
            position += len(ids)
        self._finish(self.ids[tail:])
        return True

    def _tail_start(self) -> int:
        """Where the run of end tokens begins that reaches the region's end."""
        start = len(self.ids)
        while start and self.ids[start - 1] in self.source.end_ids:
            start -= 1
        return start

    def _is_open_at(self, position: int) -> bool:
        """True if the leader has a mask there, or the receiver may have one."""
        if position == len(self.ids):
            return not self.is_closed
        return self.ids[position] == self.source.mask_id

    def _place_prefix(self, ids: tuple[int, ...], *, is_open: bool) -> bool:
        parts = _parts(ids, self.source, self.target)
        dropped = _cut_end(parts, ids, self.source, _half_character_at_end) if is_open else 0
        tokens = _tokens(parts, self.target, room=len(self.ids))
        if tokens is None:
            return False
        self.tokens, self.gap, self.num_remasked = tokens, dropped, dropped
        return True

    def _place_island(self, ids: tuple[int, ...], *, is_open: bool) -> None:
        parts = _parts(ids, self.source, self.target)
        before = _cut_start(parts, ids, self.source, _half_at_start)
        after = _cut_end(parts, ids, self.source, _half_at_end) if is_open else 0
        room = len(self.ids) - len(self.tokens) - self.gap - before
        tokens = _tokens(parts, self.target, room)
        if not tokens:
            self.gap += len(ids)
            self.num_remasked += len(ids)
            return
        self.tokens += [self.target.mask_id] * (self.gap + before) + tokens
        self.gap = after
        self.num_remasked += before + after

    def _finish(self, tail: Sequence[int]) -> None:
        """To the region's end: end tokens if the leader's are there or the region is closed, else masks."""
        size = len(self.ids)
        is_finished = bool(tail) or (self.is_closed and not self.gap)
        filler = self.target.eos_id if is_finished else self.target.mask_id
        ends = [_end_token(token, self.source, self.target) for token in tail]
        self.tokens = (self.tokens + [self.target.mask_id] * self.gap + ends + [filler] * size)[:size]


def _parts(ids: Sequence[int], source: Vocabulary, target: Vocabulary) -> list[bytes | int]:
    """Committed tokens as text, and end tokens (already the receiver's) where they stand in it."""
    parts: list[bytes | int] = []
    for is_end, group in groupby(ids, key=source.end_ids.__contains__):
        ids_of_part = tuple(group)
        if is_end:
            parts += [_end_token(token, source, target) for token in ids_of_part]
        else:
            parts.append(source.text_bytes(ids_of_part))
    return parts


def _end_token(token: int, source: Vocabulary, target: Vocabulary) -> int:
    """The receiver's end token with the same role."""
    if token == source.end_of_turn_id and target.end_of_turn_id is not None:
        return target.end_of_turn_id
    return target.eos_id if token in (source.eos_id, source.end_of_turn_id) else target.pad_id


def _tokens(parts: Sequence[bytes | int], target: Vocabulary, room: int) -> list[int] | None:
    """The parts in the receiver's tokens. Where room is short end tokens give way, last first; or None."""
    tokens: list[int] = []
    end_positions: list[int] = []
    for part in parts:
        if isinstance(part, int):
            end_positions.append(len(tokens))
            tokens.append(part)
        elif (text := _text_tokens(part, target)) is not None:
            tokens += text
        else:
            return None
    num_excess = max(0, len(tokens) - room)
    if num_excess > len(end_positions):
        return None
    left_out = set(end_positions[len(end_positions) - num_excess :])
    return [token for position, token in enumerate(tokens) if position not in left_out]


def _text_tokens(data: bytes, target: Vocabulary) -> list[int] | None:
    """Whole characters as text, other bytes one by one. None if the receiver has no token for one."""
    tokens: list[int] = []
    for index, piece in enumerate(STRAY_BYTES.split(data.decode("utf-8", "surrogateescape"))):
        if index % 2 == 0:
            tokens += target.encode(piece)
            continue
        stray = [target.byte_token(byte) for byte in piece.encode("utf-8", "surrogateescape")]
        tokens += [token for token in stray if token is not None]
        if None in stray:
            return None
    return tokens


def _cut_start(parts: list[bytes | int], ids: Sequence[int], source: Vocabulary, half: Callable[[bytes], int]) -> int:
    """Cut what is half off the start, and count the tokens that this masks again. End tokens are whole."""
    first = parts[0]
    if isinstance(first, int):
        return 0
    num_bytes = half(first)
    parts[0] = first[num_bytes:]
    return _num_covered(ids, num_bytes, source)


def _cut_end(parts: list[bytes | int], ids: Sequence[int], source: Vocabulary, half: Callable[[bytes], int]) -> int:
    last = parts[-1]
    if isinstance(last, int):
        return 0
    num_bytes = half(last)
    parts[-1] = last[: len(last) - num_bytes]
    return _num_covered(ids[::-1], num_bytes, source)


def _num_covered(ids: Sequence[int], num_bytes: int, source: Vocabulary) -> int:
    """How many of the tokens lie wholly in the first `num_bytes`."""
    if not num_bytes:
        return 0
    ends = accumulate(len(source.token_bytes(token)) for token in ids)
    return sum(1 for _ in takewhile(num_bytes.__ge__, ends))


def _half_character_at_end(data: bytes) -> int:
    half = HALF_CHARACTER.search(data, max(0, len(data) - 3))
    return len(half[0]) if half else 0


def _half_at_end(data: bytes) -> int:
    """The bytes at an island's end that the mask behind it may belong to: half a character or number."""
    return _half_character_at_end(data) or len(data) - len(data.rstrip(DIGITS))


def _half_at_start(data: bytes) -> int:
    half_character = len(data) - len(data.lstrip(CONTINUATION_BYTES))
    return half_character or len(data) - len(data.lstrip(DIGITS))
