"""What a request's listener is told, as frozen values: text, counts and probabilities, never token ids or tensors.

Field names are the ones on the wire (`docs/architecture.md`); positions are offsets in the generated part. Whoever
transports an event adds its sequence number and time.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from tie_core.errors import LossReason, TieError
from tie_core.options import Approximation, RelayResult, SelectionName, TieBreak

FinishReason = Literal["stop", "length", "deadline"]


class Placed(NamedTuple):
    """A committed token: on the wire `[position, text, confidence]`; no confidence if it came through a relay."""

    position: int
    text: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A member as clients see it; equal `tokenizer` fingerprints mean that relays copy ids.

    `index` is its index among the ensemble's members, from 0, whichever of them the request asks: what displays go by
    for a member's letter and colour.
    """

    id: str
    family: str
    tokenizer: str
    index: int


@dataclass(frozen=True, slots=True)
class CanvasInfo:
    """The generated part, in positions; `suffix` is the longest among the members."""

    gen_length: int
    block_size: int
    reasoning: int
    suffix: int
    answer: int


@dataclass(frozen=True, slots=True)
class AnswerProbe:
    """What the answer would be if decoding stopped now, with the history's token change count and the mean top-1, which
    is 0 where no answer position that counts is masked any more."""

    text: str
    tcc: float
    top1: float


@dataclass(frozen=True, slots=True)
class ScoreInfo:
    """A trajectory's score (None: no evidence), token change count of the round, and mean top-1 over A."""

    value: float | None
    tcc: float
    top1: float


@dataclass(frozen=True, slots=True)
class RelayInfo:
    """How the leader's canvas reached one member.

    Applying `unset`, then `set`, to that member's canvas after the last round gives the one it goes on from, in its own
    tokens, whatever steps it made in between.
    """

    to: str
    result: RelayResult
    remasked: int
    set: tuple[Placed, ...]
    unset: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NfeInfo:
    """Forward passes spent: decoding, and scoring beyond it."""

    decode: int
    score: int


@dataclass(frozen=True, slots=True)
class LostInfo:
    """A member that took no part in a round, and why."""

    round: int
    model: str
    reason: LossReason


@dataclass(frozen=True, slots=True)
class Created:
    """The request was accepted. `queue_position` counts the requests before it (0: it starts at once)."""

    type: ClassVar[str] = "tie.created"
    id: str
    ensemble: str
    models: tuple[ModelInfo, ...]
    canvas: CanvasInfo
    options: Mapping[str, Any]
    queue_position: int


@dataclass(frozen=True, slots=True)
class Started:
    """The request left the queue."""

    type: ClassVar[str] = "tie.started"
    queue_ms: float


@dataclass(frozen=True, slots=True)
class StepTaken:
    """One member made one denoising step; or, as its last one, its answer was committed early, without a forward."""

    type: ClassVar[str] = "tie.step"
    round: int
    step: int
    model: str
    set: tuple[Placed, ...]
    masked_left: int
    answer_probe: AnswerProbe


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """A round was assessed and relayed. Applying every `unset`, then `set`, in order gives the leader's canvas.

    `settled` is the text that this relay settled: those of all rounds in a row are the beginning of the final text.
    `steps` and `scores` are of the members that were there; `lost` are the others.
    """

    type: ClassVar[str] = "tie.round"
    round: int
    steps: Mapping[str, int]
    scores: Mapping[str, ScoreInfo]
    leader: str
    switched: bool
    tie_break: TieBreak | None
    set: tuple[Placed, ...]
    unset: tuple[int, ...]
    relayed: tuple[RelayInfo, ...]
    nfe: Mapping[str, NfeInfo]
    masked_left: int
    answer_probe: AnswerProbe
    settled: str = ""
    lost: tuple[LostInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer tokens were committed: the text so far and the committed fraction of the answer positions."""

    type: ClassVar[str] = "tie.answer"
    text: str
    fraction: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in the final member's own vocabulary; those of its canvas that are no mask, up to the limit."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class TieInfo:
    """How the answer came about. `scores` are the members' whole-run token change counts (None: no evidence).

    `scored` says what was assessed: the answer positions, or all generated ones (task `open`, not the paper's).
    `approximations` are those that committed a token of some member: an empty list is the exact method's answer.
    `partial`: the deadline came first; text and `final_model` are the last leader's, and nothing was chosen.
    `degraded`: members were lost on the way; `lost` says to which rounds. `final_rule` is the one that chose, which is
    `lowest_tcc` where the best model was asked for and was lost at the end.
    """

    rounds: int
    switches: int
    wins: Mapping[str, int]
    final_model: str
    final_rule: SelectionName
    scores: Mapping[str, float | None]
    nfe: Mapping[str, NfeInfo]
    scored: Literal["answer", "all"]
    candidates: Mapping[str, str]
    degraded: bool = False
    approximations: tuple[Approximation, ...] = ()
    partial: bool = False
    lost: tuple[LostInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds. Decoding and scoring include the wait for the slowest member and for batch-mates."""

    queue_ms: float
    first_state_ms: float
    decode_ms: float
    score_ms: float
    transcode_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Completed:
    """The answer."""

    type: ClassVar[str] = "tie.completed"
    id: str
    text: str
    reasoning: str
    answer: str
    finish_reason: FinishReason
    usage: Usage
    tie: TieInfo
    timings: Timings


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended without an answer."""

    type: ClassVar[str] = "tie.error"
    error: TieError


Event = Created | Started | StepTaken | RoundEnded | Answer | Completed | Failed


def event_data(event: Created | Started | StepTaken | RoundEnded | Answer | Completed) -> dict[str, Any]:
    """The event as plain JSON types, without its type. `Failed` carries an exception: the transport words that."""
    return asdict(event)
