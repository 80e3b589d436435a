"""What can go wrong, for callers to act on. Every message says what was asked, what is allowed, and what to do.

TieError
├── CheckpointError             a folder that cannot be loaded: missing file, pickle, damaged tensor
│   └── UnsupportedModelError   readable, but no model that TIE can ensemble (block-causal, no mask token, ...)
├── TaskError                   a benchmark that cannot be measured here: no file, a malformed line, a missing library
├── PlacementError              a device or dtype that is not to be had here
├── RequestError                the caller's input; `param` names the field
│   ├── OptionsError            a value that no option allows
│   ├── PromptError             messages or a prompt that cannot become a canvas
│   │   └── ContextLengthError  it and what is generated are longer than a member reads
│   └── UnknownModelError       no such member or ensemble
├── EngineClosedError           submitted while draining or closed
├── OverloadedError             submitted while the queue was full
├── MemberError                 a member failed on this request: NaN logits, an exception in its forward
│   └── OutOfMemoryError        a canvas that the memory of the member's device does not hold, even alone
├── NoMemberLeftError           members were lost, and fewer are left than the request goes on with
├── CancelledError              the request was cancelled
├── DeadlineError               the time that the request allowed is over
└── InternalError               a bug; the message names its type, never the data
"""

from typing import Literal

LossReason = Literal["exception", "not_finite", "out_of_memory", "wrong_shape", "stalled", "died", "down"]
"""Why a member is lost to a round: the first four are failures at one request's row, the others of its whole worker."""


class TieError(Exception):
    """The root of everything that the library raises on purpose."""


class CheckpointError(TieError):
    """A checkpoint folder that cannot be loaded."""


class UnsupportedModelError(CheckpointError):
    """A readable checkpoint of a model that TIE cannot ensemble."""


class TaskError(TieError):
    """A benchmark that cannot be measured here."""


class PlacementError(TieError):
    """A device or dtype for a model that is not to be had here."""


class RequestError(TieError):
    """Bad input from the caller. `param` is the name of the field at fault, or None for the request as a whole."""

    def __init__(self, param: str | None, message: str) -> None:
        super().__init__(message)
        self.param = param


class OptionsError(RequestError):
    """A value that no option allows."""


class PromptError(RequestError):
    """Messages or a prompt that cannot become a canvas."""


class ContextLengthError(PromptError):
    """Messages or a prompt that are too long for a member, with what is to be generated."""


class UnknownModelError(RequestError):
    """A member or ensemble that is not loaded here."""


class EngineClosedError(TieError):
    """The engine takes no more requests."""


class OverloadedError(TieError):
    """The engine's queue is full."""


class MemberError(TieError):
    """A member failed on this request."""

    reason: LossReason = "exception"

    @classmethod
    def not_finite(cls, member: str) -> "MemberError":
        return cls(f"model {member} gave logits that are not finite")._because("not_finite")

    @classmethod
    def wrong_shape(cls, member: str) -> "MemberError":
        return cls(f"model {member} gave another number of predictions than it was asked for")._because("wrong_shape")

    @classmethod
    def in_forward(cls, member: str, error: Exception) -> "MemberError":
        """Names the type of what was raised, never its data."""
        return cls(f"model {member} failed in its forward pass: {type(error).__name__}")

    def _because(self, reason: LossReason) -> "MemberError":
        self.reason = reason
        return self


class OutOfMemoryError(MemberError):
    """A canvas that the memory of its member's device does not hold, even alone."""

    reason = "out_of_memory"

    @classmethod
    def of_canvas(cls, member: str, device: object, num_positions: int) -> "OutOfMemoryError":
        """With what to do about it, for the caller and for whoever runs the server."""
        return cls(
            f"{member} has too little memory on {device} for a canvas of {num_positions:,} positions: shorten the"
            " prompt or gen_length, or place the model with a smaller dtype or on a larger device"
        )


class NoMemberLeftError(TieError):
    """Members were lost, and fewer are left than the request goes on with."""

    @classmethod
    def of(cls, num_left: int, num_members: int, min_models: int) -> "NoMemberLeftError":
        return cls(
            f"{num_left} of {num_members} models are left, and the request goes on with no fewer than {min_models}: "
            "try it again, models restart by themselves"
        )


class CancelledError(TieError):
    """The request was cancelled."""


class DeadlineError(TieError):
    """The time that the request allowed is over."""


class InternalError(TieError):
    """A bug in this library ended the request."""
