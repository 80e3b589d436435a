"""The canvas: one member's `[prompt][reasoning][suffix][answer]`, its blocks, and which positions a step may commit.

Knows no model and no text. Positions are offsets in the generated part, so they survive chat templates of different
lengths. Semi-autoregressive blocks and the answer suffix are the paper's; docs/paper-map.md says what is ours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil


@dataclass(frozen=True, slots=True)
class Commit:
    """A token written at a masked position, with the confidence it was committed with (a probability)."""

    position: int
    token: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of the generated part: R reasoning positions, S suffix tokens, A answer positions.

    R and A are the same for every member of an ensemble; S is the suffix in the member's own tokens. A is 0 for the
    open task, where every masked generated position is scored instead. Without an `eos_id` no end is ever filled.
    """

    reasoning: int
    suffix: int
    answer: int
    block_size: int
    mask_id: int
    eos_id: int | None = None

    @property
    def length(self) -> int:
        """L = R + S + A."""
        return self.reasoning + self.suffix + self.answer

    def num_steps(self, per_step: int) -> int:
        """The denoising steps of a whole run that commits `per_step` tokens a step, block by block."""
        steps = 0
        for region in (self.reasoning, self.answer):
            blocks, rest = divmod(region, self.block_size)
            steps += blocks * ceil(self.block_size / per_step) + ceil(rest / per_step)
        return steps

    @property
    def reasoning_region(self) -> range:
        return range(self.reasoning)

    @property
    def suffix_region(self) -> range:
        return range(self.reasoning, self.reasoning + self.suffix)

    @property
    def answer_region(self) -> range:
        return range(self.reasoning + self.suffix, self.length)

    @property
    def regions(self) -> tuple[range, range, range]:
        """Reasoning, suffix, answer."""
        return self.reasoning_region, self.suffix_region, self.answer_region

    @property
    def scored_region(self) -> range:
        """Where the assessment looks: the answer positions, or all generated ones where there is no answer region."""
        return self.answer_region if self.answer else self.reasoning_region


@dataclass(frozen=True, slots=True)
class Canvas:
    """One member's sequence. Frozen: committing gives a new canvas.

    `block_origin` is where blocks are counted from in the region that holds it; the other region counts from its own
    start. It is 0 until a transcoded relay moves it to the receiver's first masked position.
    """

    prompt: tuple[int, ...]
    generated: tuple[int, ...]  # [L], mask_id where undecided
    layout: Layout
    block_origin: int = 0

    @property
    def ids(self) -> tuple[int, ...]:
        """The whole sequence that the model reads, `[T]`."""
        return self.prompt + self.generated

    def is_masked(self, position: int) -> bool:
        return self.generated[position] == self.layout.mask_id

    def masked(self, region: range) -> tuple[int, ...]:
        return tuple(position for position in region if self.is_masked(position))

    @property
    def masked_left(self) -> int:
        return self.generated.count(self.layout.mask_id)

    @property
    def is_complete(self) -> bool:
        return self.layout.mask_id not in self.generated

    @property
    def is_answered(self) -> bool:
        """True without masked scored positions. Answers come last: so it is complete, or was committed early."""
        return not self.masked(self.layout.scored_region)

    @property
    def first_masked(self) -> int | None:
        """The leftmost masked position. The answer lies right of the reasoning, so it always waits for it."""
        try:
            return self.generated.index(self.layout.mask_id)
        except ValueError:
            return None

    @property
    def active_block(self) -> range:
        """The leftmost unfinished block (empty when the canvas is complete)."""
        first = self.first_masked
        if first is None:
            return range(0)
        layout = self.layout
        region = layout.reasoning_region if first < layout.reasoning else layout.answer_region
        origin = self.block_origin if self.block_origin in region else region.start
        start = first - (first - origin) % layout.block_size
        return range(max(start, region.start), min(start + layout.block_size, region.stop))

    @property
    def eligible(self) -> tuple[int, ...]:
        """The positions that the next denoising step may commit: the masked ones of the active block."""
        return self.masked(self.active_block)

    @property
    def is_at_block_boundary(self) -> bool:
        """True when no block is half decoded, so what is committed is a prefix of whole blocks."""
        return len(self.eligible) == len(self.active_block)

    @property
    def watched(self) -> tuple[int, ...]:
        """The positions whose predictions a step needs: the eligible ones and the masked scored ones, in order."""
        return tuple(sorted({*self.eligible, *self.masked(self.layout.scored_region)}))

    def commit(self, commits: Iterable[Commit]) -> "Canvas":
        generated = list(self.generated)
        for commit in commits:
            assert self.is_masked(commit.position), "a committed token is never undone by a step"
            generated[commit.position] = commit.token
        return replace(self, generated=tuple(generated))

    def fill_end(self, commits: Sequence[Commit]) -> tuple[Commit, ...]:
        """What follows from an end of text among a step's `commits`: ends at every other later mask of its region.

        They take the confidence of the end that they follow from.
        """
        ends = [commit for commit in commits if commit.token == self.layout.eos_id]
        if not ends:
            return ()
        end = min(ends, key=lambda commit: commit.position)
        regions = (self.layout.reasoning_region, self.layout.answer_region)
        stop = next(region.stop for region in regions if end.position in region)
        taken = {commit.position for commit in commits}
        behind = self.masked(range(end.position + 1, stop))
        return tuple(replace(end, position=position) for position in behind if position not in taken)

    def with_generated(self, generated: tuple[int, ...], block_origin: int) -> "Canvas":
        """The same member's canvas with another generated part: what a relay writes."""
        assert len(generated) == self.layout.length
        return replace(self, generated=generated, block_origin=block_origin)


def blank_canvas(prompt: tuple[int, ...], suffix: tuple[int, ...], layout: Layout) -> Canvas:
    """The canvas before the first step: every generated position masked but the suffix, which is never masked."""
    assert len(suffix) == layout.suffix
    masks = (layout.mask_id,)
    return Canvas(prompt, masks * layout.reasoning + suffix + masks * layout.answer, layout)
