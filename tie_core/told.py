"""What a canvas comes to for who reads it: its text, why it ended, and the tokens it took."""

from tie_core.canvas import Canvas
from tie_core.ending import Ending
from tie_core.events import AnswerProbe, FinishReason, Usage
from tie_core.member import Member
from tie_core.scoring import History


def text_of(member: Member, canvas: Canvas, region: range) -> str:
    """The committed text of a region, up to its first end token."""
    tokens = [canvas.generated[position] for position in region if not canvas.is_masked(position)]
    return member.vocabulary.decode(member.vocabulary.until_end(tokens))


def told_tokens(member: Member, canvas: Canvas) -> list[tuple[int, ...]]:
    """Of each region, up to its first end token or mask: behind a mask is no text, since words would be missing."""
    told = [before_first_mask(canvas, region) for region in canvas.layout.regions]
    if not canvas.is_answered and canvas.masked(canvas.layout.reasoning_region):
        told[1:] = range(0), range(0)
    return [member.vocabulary.until_end(canvas.generated[region.start : region.stop]) for region in told]


def before_first_mask(canvas: Canvas, region: range) -> range:
    return range(region.start, next(iter(canvas.masked(region)), region.stop))


def changes_of(member: Member, before: Canvas, after: Canvas) -> tuple[list[tuple[int, str]], list[int]]:
    """What is to be set (position and text) and unset to make the one canvas of a member the other."""
    suffix = after.layout.suffix_region
    changed = [
        position
        for position, (old, new) in enumerate(zip(before.generated, after.generated, strict=True))
        if old != new and position not in suffix
    ]
    decode = member.vocabulary.decode
    placed = [(position, decode((after.generated[position],))) for position in changed if not after.is_masked(position)]
    return placed, [position for position in changed if after.is_masked(position)]


def answer_probe_of(member: Member, canvas: Canvas, history: History) -> AnswerProbe:
    """What is committed of the answer, and the last guesses at its masks."""
    guesses = history.last.token_at() if history.last else {}
    tokens = [
        guesses.get(position, canvas.layout.mask_id) if canvas.is_masked(position) else canvas.generated[position]
        for position in canvas.layout.scored_region
    ]
    return AnswerProbe(
        text=member.vocabulary.decode(member.vocabulary.until_end(tokens)),
        tcc=float(history.changes.value),
        top1=round(history.top1, 6),
    )


def finish_reason_of(member: Member, canvas: Canvas, ending: Ending, is_stopped: bool) -> FinishReason:
    """`stop` if a stop string or the member itself ended the text, or an early commit did; else `length`."""
    if is_stopped:
        return "stop"
    if ending.drops_some_of(told_tokens(member, canvas), member.vocabulary):
        return "length"
    ended = not canvas.is_complete or any(
        canvas.generated[position] in member.vocabulary.end_ids for position in canvas.layout.scored_region
    )
    return "stop" if ended else "length"


def usage_of(canvas: Canvas, max_tokens: int | None) -> Usage:
    num_generated = canvas.layout.length - canvas.masked_left
    num_told = num_generated if max_tokens is None else min(num_generated, max_tokens)
    return Usage(len(canvas.prompt), num_told, len(canvas.prompt) + num_told)
