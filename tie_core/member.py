"""A member of an ensemble, resident: its mask predictor and its vocabulary, asked together for predictions.

Knows nothing of rounds or requests. A prediction depends on its canvas alone, whatever it is batched with.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tie_core.canvas import Canvas
from tie_core.errors import MemberError
from tie_core.models.key_values import CanvasCache
from tie_core.models.lanes import Lanes
from tie_core.models.loading import load_model
from tie_core.models.mask_predictor import MaskPredictor
from tie_core.options import SuppressEnd
from tie_core.prediction import Columns, EndTokens, Prediction, joined, to_predictions
from tie_core.tiles import TiledHead
from tie_core.vocabulary import Vocabulary, load_vocabulary


@dataclass(frozen=True, slots=True)
class Query:
    """One canvas to be read in a forward, at its `watched` positions, and how its proposals treat end tokens.

    With a `cache` its keys and values are kept for the queries that follow. These name in `fresh` the generated
    positions that are to be read again, all watched ones among them; None reads the whole canvas.
    """

    canvas: Canvas
    watched: tuple[int, ...]
    suppress_end: SuppressEnd
    cache: CanvasCache | None = None
    fresh: tuple[int, ...] | None = None

    @property
    def length(self) -> int:
        return len(self.canvas.prompt) + self.canvas.layout.length

    @property
    def packing_key(self) -> tuple[bool, SuppressEnd, int]:
        """In this order rows that are read alike and canvases of one length are neighbours."""
        return self.cache is not None, self.suppress_end, self.length


@dataclass(frozen=True, slots=True)
class Whole:
    """Canvases that are read whole, end to end; neighbours of one length cost the least."""

    ids: Tensor  # [N] long, N the sum of lengths
    lengths: tuple[int, ...]
    positions: Tensor  # [K] long, in `ids`: what is predicted


@dataclass(frozen=True, slots=True)
class Windowed:
    """Canvases whose keys and values are kept, each read in a window of its positions; in the order of their places."""

    ids: Tensor  # [N] long, the tokens in all windows
    windows: tuple[Tensor, ...]  # each [w] long, positions of one canvas
    places: tuple[range, ...]
    rows: Tensor  # [K] long, in `ids`: where what is predicted is read


@dataclass(frozen=True, slots=True)
class Pack:
    """What one forward reads. It gives K rows, those of whole canvases first; `groups` says how end tokens are treated
    in so many of them, one group after the other.
    """

    whole: Whole | None
    windowed: Windowed | None
    groups: tuple[tuple[SuppressEnd, int], ...]


@dataclass(frozen=True)
class Member:
    """One model and its vocabulary under the name that requests, events and metrics use."""

    name: str
    model: MaskPredictor
    vocabulary: Vocabulary

    def renewed(self) -> "Member":
        """The same model with lanes and a pool of keys and values of its own: whoever still uses this one, in a thread
        that nobody waits for any more, is not met there.
        """
        model = copy(self.model)
        model.lanes, model.key_values = Lanes(), self.model.key_values.renewed()
        return replace(self, model=model)

    def num_positions(self, query: Query) -> int:
        """How many positions a forward reads for this query."""
        return len(self._window(query))

    def predict(self, queries: Sequence[Query]) -> list[Prediction | MemberError]:
        """One packed forward over all canvases: a prediction for each, or the error of that one alone.

        If the forward itself raises, the canvases are read one by one, so that only the culprit fails.

        Raises:
            torch.OutOfMemoryError: these canvases are too many for the device; fewer may fit.
        """
        try:
            return self._predict(queries)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a model raises must not reach the other requests
            if len(queries) == 1:
                return [error if isinstance(error, MemberError) else MemberError.in_forward(self.name, error)]
            return [prediction for query in queries for prediction in self.predict([query])]

    def _predict(self, queries: Sequence[Query]) -> list[Prediction | MemberError]:
        order = sorted(range(len(queries)), key=lambda index: queries[index].packing_key)
        found = self._forward([queries[index] for index in order])
        by_index = dict(zip(order, found, strict=True))
        return [by_index[index] for index in range(len(queries))]

    def _forward(self, queries: Sequence[Query]) -> list[Prediction | MemberError]:
        """`queries` come in the order of their packing keys."""
        columns = self.read(self.pack(queries))
        if not columns.are_of(sum(len(query.watched) for query in queries)):
            raise MemberError.wrong_shape(self.name)
        predictions = to_predictions(columns, [query.watched for query in queries])
        return [MemberError.not_finite(self.name) if prediction is None else prediction for prediction in predictions]

    @torch.inference_mode()
    def read(self, pack: Pack) -> Columns:
        """One forward: the K rows of the pack, in order. Whatever the model raises comes through."""
        parts = []
        if whole := pack.whole:
            parts.append(self.model.hidden(whole.ids, whole.lengths, whole.positions))
        if part := pack.windowed:
            parts.append(self.model.hidden_in_windows(part.ids, part.windows, part.places, part.rows))
        hidden = torch.cat(parts) if len(parts) > 1 else parts[0]  # [K, W]
        groups = torch.split(hidden, [num_rows for _, num_rows in pack.groups])
        read = [
            self._head.statistics(rows, suppress_end)
            for rows, (suppress_end, _) in zip(groups, pack.groups, strict=True)
        ]
        return Columns.of(joined(read) if len(read) > 1 else read[0])

    def pack(self, queries: Sequence[Query]) -> Pack:
        """`queries` come in the order of their packing keys."""
        groups = groupby(queries, key=lambda query: query.packing_key[:2])
        return Pack(
            self._whole([query for query in queries if query.cache is None]),
            self._windowed([query for query in queries if query.cache is not None]),
            tuple((suppress_end, sum(len(query.watched) for query in alike)) for (_, suppress_end), alike in groups),
        )

    def _whole(self, queries: Sequence[Query]) -> Whole | None:
        if not queries:
            return None
        starts = accumulate((query.length for query in queries), initial=0)
        positions = [
            start + len(query.canvas.prompt) + position
            for start, query in zip(starts, queries, strict=False)
            for position in query.watched
        ]
        ids = torch.tensor([token for query in queries for token in query.canvas.ids])
        return Whole(ids, tuple(query.length for query in queries), torch.tensor(positions))

    def _windowed(self, queries: Sequence[Query]) -> Windowed | None:
        if not queries:
            return None
        pool = self.model.key_values
        places = [query.cache.place(pool, query.length) for query in queries if query.cache]
        windows = [self._window(query) for query in queries]
        order = sorted(range(len(queries)), key=lambda number: places[number].start)
        ids: list[int] = []
        rows: dict[int, list[int]] = {}
        for number in order:
            row_of = {position: len(ids) + row for row, position in enumerate(windows[number])}
            rows[number] = [row_of[position] for position in self._read_at(queries[number])]
            ids += [queries[number].canvas.ids[position] for position in windows[number]]
        return Windowed(
            torch.tensor(ids),
            tuple(torch.tensor(windows[number]) for number in order),
            tuple(places[number] for number in order),
            torch.tensor([row for number in range(len(queries)) for row in rows[number]]),
        )

    def _window(self, query: Query) -> Sequence[int]:
        """The positions of the whole canvas that a forward reads, in order."""
        if query.fresh is None:
            return range(query.length)
        offset = len(query.canvas.prompt)
        return sorted({offset + position for position in query.fresh}.union(self._read_at(query)))

    def _read_at(self, query: Query) -> list[int]:
        """Where in the whole canvas the watched positions are read: with shifted logits one to the left."""
        offset = len(query.canvas.prompt) - self.model.logits_are_shifted
        return [max(offset + position, 0) for position in query.watched]

    @cached_property
    def is_end(self) -> NDArray[np.bool_]:
        """`[V]`: which tokens are end tokens."""
        is_end = np.zeros(self.model.vocab_rows, dtype=np.bool_)
        is_end[list(self.vocabulary.end_ids)] = True
        return is_end

    @cached_property
    def _head(self) -> TiledHead:
        end = EndTokens(self.vocabulary.eos_id, tuple(sorted(self.vocabulary.end_ids)))
        forbidden = self.vocabulary.forbidden_ids(self.model.vocab_rows)
        return TiledHead(self.model.head_weight, forbidden, end, self.model.lanes)


def load_member(name: str, path: Path, device: str = "cpu", dtype: str = "float32") -> Member:
    """Load a checkpoint folder as a member. Slow; raises CheckpointError."""
    model = load_model(path, device=device, dtype=dtype)
    vocabulary = load_vocabulary(
        path, mask_id=model.mask_id, eos_id=model.eos_id, pad_id=model.pad_id, vocab_rows=model.vocab_rows
    )
    return Member(name, model, vocabulary)
