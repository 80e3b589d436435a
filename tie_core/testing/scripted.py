"""Members that are scripts: the TIE loop is driven without any model, so that every number can be checked by hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.denoising import Denoising, make_job
from tie_core.errors import LossReason
from tie_core.lost import Lost
from tie_core.options import TieOptions
from tie_core.prediction import Prediction
from tie_core.tie import Decode, Outcome, Probe, Program, Round

MASK, END = 0, 9
Guess = tuple[int, float]  # token and top-1 probability
Oracle = Callable[[Canvas], Mapping[int, int | Guess]]


@dataclass(frozen=True)
class ScriptedVocabulary:
    """As much of a vocabulary as the loop asks for; equal fingerprints, so relays copy ids."""

    end_ids: frozenset[int] = frozenset({END})
    fingerprint: str = "scripted"
    mask_id: int = MASK

    def until_end(self, tokens: Sequence[int]) -> tuple[int, ...]:
        return tuple(takewhile(lambda token: token not in self.end_ids, tokens))

    def text_bytes(self, tokens: Sequence[int]) -> bytes:
        return bytes(token for token in tokens if token not in self.end_ids)


VOCABULARY: Any = ScriptedVocabulary()


def canvas(reasoning: int, answer: int, *, suffix: tuple[int, ...] = (8,), block_size: int = 16) -> Canvas:
    return blank_canvas((7, 7), suffix, Layout(reasoning, len(suffix), answer, block_size, MASK, END))


def prediction(guesses: Mapping[int, int | Guess]) -> Prediction:
    """The prediction that says `guesses`: a token (top-1 0.5) or a token with its top-1, by position."""
    pairs = {p: guess if isinstance(guess, tuple) else (guess, 0.5) for p, guess in sorted(guesses.items())}
    tokens = tuple(token for token, _ in pairs.values())
    top1 = tuple(probability for _, probability in pairs.values())
    return Prediction(
        positions=tuple(pairs),
        tokens=tokens,
        top1=top1,
        margin=tuple(2 * probability - 1 for probability in top1),
        negative_entropy=tuple(probability - 1 for probability in top1),
        proposals=tokens,
        confidences=top1,
    )


@dataclass
class Drive:
    """What driving a program showed: the rounds, the end, and every piece of work that was asked for."""

    rounds: list[Round] = field(default_factory=list)
    outcome: Outcome | None = None
    decodes: list[Decode] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)

    @property
    def end(self) -> Outcome:
        assert self.outcome is not None
        return self.outcome


def drive(
    program: Program,
    oracles: Sequence[Oracle],
    options: TieOptions,
    lost: Callable[[int, Any], LossReason | None] = lambda number, item: None,
) -> Drive:
    """Run the loop with one oracle per member, each asked only about the watched positions.

    `lost` says of each piece of a round's work why its member is lost to it, if it is.
    """
    seen, reply, number = Drive(), None, 1
    while True:
        try:
            work = program.send(reply)
        except StopIteration as end:
            seen.outcome = end.value
            return seen
        if isinstance(work, Round):
            seen.rounds.append(work)
            number, reply = number + 1, None
            continue
        reply = tuple(
            Lost(reason) if (reason := lost(number, item)) is not None else _run(item, oracles[item.member], options)
            for item in work
        )
        for item in work:
            (seen.decodes if isinstance(item, Decode) else seen.probes).append(item)  # type: ignore[arg-type]


def _run(work: Decode | Probe, oracle: Oracle, options: TieOptions) -> Any:
    job = make_job(work, options)
    job.begin()
    while not job.is_finished:
        seen = job.canvas if isinstance(job, Denoising) else work.canvas
        watched = {position: guess for position, guess in oracle(seen).items() if position in seen.watched}
        assert tuple(sorted(watched)) == seen.watched, "the oracle answers for every watched position"
        job.accept(prediction(watched))
    return job.result
