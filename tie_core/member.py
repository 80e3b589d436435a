"""A member of an ensemble, resident: its mask predictor and its vocabulary, asked together for predictions.

Knows nothing of rounds or requests. A prediction depends on its canvas alone, whatever it is batched with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from tie_core.canvas import Canvas
from tie_core.errors import MemberError
from tie_core.models.loading import load_model
from tie_core.models.mask_predictor import MaskPredictor
from tie_core.options import SuppressEnd
from tie_core.prediction import EndTokens, Prediction, to_predictions
from tie_core.tiles import TiledHead
from tie_core.vocabulary import Vocabulary, load_vocabulary


@dataclass(frozen=True)
class Query:
    """One canvas to be read in a forward, at its `watched` positions, and how its proposals treat end tokens."""

    canvas: Canvas
    watched: tuple[int, ...]
    suppress_end: SuppressEnd

    @property
    def packing_key(self) -> tuple[SuppressEnd, int]:
        """In this order rows that are read alike and canvases of one length are neighbours."""
        return self.suppress_end, len(self.canvas.prompt) + self.canvas.layout.length


@dataclass(frozen=True)
class Member:
    """One model and its vocabulary under the name that requests, events and metrics use."""

    name: str
    model: MaskPredictor
    vocabulary: Vocabulary

    def predict(self, queries: Sequence[Query]) -> list[Prediction | MemberError]:
        """One packed forward over all canvases: a prediction for each, or the error of that one alone.

        If the forward itself raises, the canvases are read one by one, so that only the culprit fails.
        """
        try:
            return self._predict(queries)
        except Exception as error:  # whatever a model raises must not reach the other requests
            if len(queries) == 1:
                return [MemberError(f"model {self.name} failed in its forward pass: {type(error).__name__}")]
            return [prediction for query in queries for prediction in self.predict([query])]

    def _predict(self, queries: Sequence[Query]) -> list[Prediction | MemberError]:
        order = sorted(range(len(queries)), key=lambda index: queries[index].packing_key)
        found = self._forward([queries[index] for index in order])
        by_index = dict(zip(order, found, strict=True))
        return [by_index[index] for index in range(len(queries))]

    @torch.inference_mode()
    def _forward(self, queries: Sequence[Query]) -> list[Prediction | MemberError]:
        """`queries` come in the order of their packing keys."""
        canvases = [query.canvas.ids for query in queries]
        starts = accumulate((len(ids) for ids in canvases), initial=0)
        positions = [
            start + len(query.canvas.prompt) + position
            for start, query in zip(starts, queries, strict=False)
            for position in query.watched
        ]
        hidden = self.model.hidden(  # [K, W]
            torch.tensor([token for ids in canvases for token in ids]),  # [N] long
            [len(ids) for ids in canvases],
            torch.tensor(positions),  # [K] long
        )
        found: list[Prediction | MemberError] = []
        first_row = 0
        for suppress_end in sorted({query.suppress_end for query in queries}):
            watched = [query.watched for query in queries if query.suppress_end == suppress_end]
            num_rows = sum(map(len, watched))
            found += self._read(hidden[first_row : first_row + num_rows], watched, suppress_end)
            first_row += num_rows
        return found

    def _read(
        self, hidden: Tensor, watched: Sequence[tuple[int, ...]], suppress_end: SuppressEnd
    ) -> list[Prediction | MemberError]:
        read = self._head.statistics(hidden, suppress_end)
        finite = read.is_finite.tolist()
        found: list[Prediction | MemberError] = []
        first_row = 0
        for prediction in to_predictions(read, watched):
            rows = finite[first_row : first_row + len(prediction.positions)]
            first_row += len(rows)
            found.append(prediction if all(rows) else MemberError(f"model {self.name} gave logits that are not finite"))
        return found

    @cached_property
    def _head(self) -> TiledHead:
        end = EndTokens(self.vocabulary.eos_id, tuple(sorted(self.vocabulary.end_ids)))
        return TiledHead(self.model.head_weight, self.vocabulary.forbidden_ids(self.model.vocab_rows), end)


def load_member(name: str, path: Path, device: str = "cpu", dtype: str = "float32") -> Member:
    """Load a checkpoint folder as a member. Slow; raises CheckpointError."""
    model = load_model(path, device=device, dtype=dtype)
    vocabulary = load_vocabulary(
        path, mask_id=model.mask_id, eos_id=model.eos_id, pad_id=model.pad_id, vocab_rows=model.vocab_rows
    )
    return Member(name, model, vocabulary)
