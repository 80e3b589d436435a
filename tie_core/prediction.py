"""What one forward says about masked positions: the argmax, how sure it is, and what a step would commit there.

Knows logits, not models: confidence and statistics in float32, ties to the lowest token (section 4.2).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tie_core.options import SuppressEnd


@dataclass(frozen=True, slots=True)
class Prediction:
    """One member's predictions at the watched positions of one canvas; all tuples have K entries, in position order.

    `tokens`, `top1`, `margin` and `negative_entropy` (nats) describe the model's own distribution and are what the
    scores read. `proposals` and `confidences` are what a step may commit: never the mask, never a row without a token,
    and with end tokens held back if the request says so.
    """

    positions: tuple[int, ...]
    tokens: tuple[int, ...]
    top1: tuple[float, ...]
    margin: tuple[float, ...]
    negative_entropy: tuple[float, ...]
    proposals: tuple[int, ...]
    confidences: tuple[float, ...]

    def token_at(self) -> dict[int, int]:
        return dict(zip(self.positions, self.tokens, strict=True))


@dataclass(frozen=True, slots=True)
class EndTokens:
    """The tokens that `suppress_end` holds back: EOS alone in the prediction, all end tokens in the confidence."""

    eos_id: int
    end_ids: tuple[int, ...]

    def held_back(self, suppress_end: SuppressEnd) -> tuple[int, ...]:
        """The tokens that leave the softmax of the confidence."""
        return {"off": (), "confidence": self.end_ids, "prediction": (self.eos_id,)}[suppress_end]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The columns of `Prediction` for K rows, still tensors of `[K]`, in the order that `Columns` reads."""

    tokens: Tensor  # [K] long
    top1: Tensor  # [K] float32
    margin: Tensor  # [K] float32
    negative_entropy: Tensor  # [K] float32
    proposals: Tensor  # [K] long
    confidences: Tensor  # [K] float32
    is_finite: Tensor  # [K] bool

    @property
    def columns(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Columns:
    """`Statistics` on the host, `[K]` each, with probabilities in float64 as a `Prediction` has them."""

    tokens: NDArray[np.int64]
    top1: NDArray[np.float64]
    margin: NDArray[np.float64]
    negative_entropy: NDArray[np.float64]
    proposals: NDArray[np.int64]
    confidences: NDArray[np.float64]
    is_finite: NDArray[np.bool_]

    @classmethod
    def of(cls, statistics: Statistics) -> "Columns":
        """One transfer for all of them: float64 holds every token id and every float32 exactly."""
        values = torch.stack([column.double() for column in statistics.columns]).cpu().numpy()  # [7, K]
        tokens, top1, margin, negative_entropy, proposals, confidences, is_finite = values
        return cls(
            tokens.astype(np.int64),
            top1,
            margin,
            negative_entropy,
            proposals.astype(np.int64),
            confidences,
            is_finite.astype(np.bool_),
        )

    @classmethod
    def unusable(cls, num_rows: int) -> "Columns":
        """What stands for rows that could not be read: nothing in them is finite."""
        ids, reals, flags = np.zeros(num_rows, np.int64), np.zeros(num_rows), np.zeros(num_rows, np.bool_)
        return cls(ids, reals, reals, reals, ids, reals, flags)

    @classmethod
    def joined(cls, parts: Sequence["Columns"]) -> "Columns":
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def are_of(self, num_rows: int) -> bool:
        """Whether there is one value in each column for so many rows."""
        return all(getattr(self, each.name).shape == (num_rows,) for each in fields(self))

    def are_numbers(self, num_tokens: int) -> NDArray[np.bool_]:
        """[K]: rows whose statistics are finite and whose ids are of a vocabulary of so many tokens."""
        sums = self.top1 + self.margin + self.negative_entropy + self.confidences
        lowest, highest = np.minimum(self.tokens, self.proposals), np.maximum(self.tokens, self.proposals)
        is_usable: NDArray[np.bool_] = self.is_finite & np.isfinite(sums) & (lowest >= 0) & (highest < num_tokens)
        return is_usable

    def clear(self, rows: slice) -> None:
        """Forget what these rows say, which may be no numbers."""
        for each in fields(self):
            getattr(self, each.name)[rows] = 0

    def prediction(self, rows: slice, positions: tuple[int, ...]) -> Prediction:
        """Of one canvas, watched at `positions`, which are these rows."""
        return Prediction(
            positions=positions,
            tokens=tuple(self.tokens[rows].tolist()),
            top1=tuple(self.top1[rows].tolist()),
            margin=tuple(self.margin[rows].tolist()),
            negative_entropy=tuple(self.negative_entropy[rows].tolist()),
            proposals=tuple(self.proposals[rows].tolist()),
            confidences=tuple(self.confidences[rows].tolist()),
        )


def joined(parts: Sequence[Statistics]) -> Statistics:
    """The rows of all parts, in order."""
    return Statistics(*(torch.cat(column) for column in zip(*(part.columns for part in parts), strict=True)))


def statistics(logits: Tensor, forbidden: Tensor, end: EndTokens, suppress_end: SuppressEnd = "off") -> Statistics:
    """Read `logits [K, V]` in float32; `forbidden [F]` are the ids that no step may commit.

    A confidence is of the whole distribution, forbidden ids included; only end tokens that are held back leave the
    softmax, as in LLaDA's own evaluation: `confidence` after the argmax (so they are committed last), `prediction`
    before it.
    """
    logits = logits.float()
    if len(logits) == 1:  # torch sums a lone long row in parts, which differs in the last bit: read it beside a copy
        both = statistics(logits.expand(2, -1), forbidden, end, suppress_end)
        return Statistics(*(column[:1] for column in both.columns))
    log_sum = logits.logsumexp(dim=-1)  # [K]
    best, tokens = logits.max(dim=-1)
    second = logits.scatter(-1, tokens[:, None], float("-inf")).amax(dim=-1)
    top1 = (best - log_sum).exp()
    log_probabilities = logits - log_sum[:, None]
    negative_entropy = (log_probabilities.exp() * log_probabilities).nan_to_num(nan=0.0).sum(dim=-1)
    proposals, confidences = _proposals(logits, log_sum, forbidden, end, suppress_end)
    return Statistics(
        tokens=tokens,
        top1=top1,
        margin=top1 - (second - log_sum).exp(),
        negative_entropy=negative_entropy,
        proposals=proposals,
        confidences=confidences,
        is_finite=log_sum.isfinite() & confidences.isfinite(),
    )


def _proposals(
    logits: Tensor, log_sum: Tensor, forbidden: Tensor, end: EndTokens, suppress_end: SuppressEnd
) -> tuple[Tensor, Tensor]:
    allowed = logits.index_fill(-1, forbidden, float("-inf"))
    if suppress_end == "off":
        best, proposals = allowed.max(dim=-1)
        return proposals, (best - log_sum).exp()
    end_ids = torch.tensor(end.held_back(suppress_end), device=logits.device)
    log_sum = logits.index_fill(-1, end_ids, float("-inf")).logsumexp(dim=-1)
    if suppress_end == "prediction":
        allowed = allowed.index_fill_(-1, end_ids, float("-inf"))
    best, proposals = allowed.max(dim=-1)
    return proposals, (best - log_sum).exp().masked_fill(torch.isin(proposals, end_ids), 0.0)


def to_predictions(columns: Columns, watched: Iterable[tuple[int, ...]]) -> list[Prediction | None]:
    """Split K rows back into one prediction per canvas, None where one of its rows is not finite."""
    is_finite = columns.is_finite.tolist()
    predictions: list[Prediction | None] = []
    start = 0
    for positions in watched:
        rows = slice(start, start + len(positions))
        start = rows.stop
        predictions.append(columns.prediction(rows, positions) if all(is_finite[rows]) else None)
    return predictions
