"""A resident masked diffusion model: token ids in, logits out.

Knows no tokenizer, no canvas regions and no sampling. One thread uses a predictor at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from tie_core.errors import UnsupportedModelError
from tie_core.models.attention import Bounds, Segment, bounds_of, segments_of, takes_variable_lengths
from tie_core.models.family import Family
from tie_core.models.footprint import footprint_of
from tie_core.models.invariance import ROW_MULTIPLE, num_filler_rows
from tie_core.models.key_values import KeyValues
from tie_core.models.lanes import Lanes, shared_out
from tie_core.models.last_layer import read_at_rows
from tie_core.models.token_ids import TokenIds


@dataclass(frozen=True, slots=True)
class Packing:
    """How one lane's canvases lie end to end: what its forward needs beside their tokens."""

    inside: slice  # of all lanes' positions
    position_ids: Tensor  # [1, N + filler], on the device
    segments: Sequence[Segment]
    bounds: Bounds | None


class MaskPredictor:
    """A loaded model and what its checkpoint says of itself."""

    def __init__(self, model: PreTrainedModel, family: Family, path: Path, token_ids: TokenIds) -> None:
        self.family = family.name
        self.path = path
        self.logits_are_shifted = family.logits_are_shifted
        self.token_ids = token_ids
        self.eos_id = token_ids.eos
        self.pad_id = token_ids.pad
        self.vocab_rows = int(model.config.vocab_size)
        self.max_positions = int(model.config.max_position_embeddings)
        parameters = list(model.parameters())  # a tied head counts once
        self.num_parameters = sum(parameter.numel() for parameter in parameters)
        self.weights_bytes = sum(parameter.nbytes for parameter in parameters)
        self.device: torch.device = parameters[0].device
        self.dtype: torch.dtype = parameters[0].dtype
        self.footprint = footprint_of(model.config, self.dtype, self.weights_bytes)
        untyped: Any = model  # transformers' own annotations are partial
        self._decoder = untyped.get_decoder()
        self._head = untyped.get_output_embeddings()
        self.lanes = Lanes()
        self._last_packings: tuple[object, Tensor, list[Packing]] | None = None
        attention = self._decoder.layers[0].self_attn
        read_at_rows(self._decoder)
        num_heads = attention.k_proj.out_features // attention.head_dim
        self.key_values = KeyValues(
            model.config.num_hidden_layers, num_heads, attention.head_dim, self.dtype, self.device
        )

    @property
    def mask_id(self) -> int:
        """Raises UnsupportedModelError for a folder that names no mask token and has no tokenizer files to
        look in.
        """
        if self.token_ids.mask is None:
            raise UnsupportedModelError(
                f"{self.path} names no mask token and has no tokenizer files: add those of the checkpoint"
            )
        return self.token_ids.mask

    @torch.inference_mode()
    def logits(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Raw, unshifted logits `[B, T, V]` of `ids [B, T]`; `attention_mask [B, T]` is 0 at padding, on
        either side.

        The plain path that the packed one is tested against. Rows of padding hold nothing meaningful.
        """
        ids = ids.to(self.device)
        position_ids, seen = torch.arange(ids.shape[1], device=self.device)[None], None
        if attention_mask is not None and not attention_mask.all():
            is_real = attention_mask.to(self.device, torch.bool)  # [B, T]
            position_ids = (is_real.long().cumsum(-1) - 1).clamp(min=0)
            seen = is_real[:, None, None]  # [B, 1, 1, T]
        hidden = self._decoder(input_ids=ids, attention_mask=seen, position_ids=position_ids, use_cache=False)
        return cast(Tensor, self._head(hidden.last_hidden_state))

    @property
    def head_weight(self) -> Tensor:
        """The language-model head `[V, W]`, which has no bias in any family."""
        return cast(Tensor, self._head.weight)

    @torch.inference_mode()
    def predict(self, ids: Tensor, lengths: Sequence[int], positions: Tensor) -> Tensor:
        """What the model predicts for K positions: logits `[K, V]` of `hidden(...)`."""
        hidden = self.hidden(ids, lengths, positions)
        filler = hidden.new_zeros(num_filler_rows(len(hidden), self.device, self.dtype), hidden.shape[1])
        return cast(Tensor, self._head(torch.cat([hidden, filler])))[: len(hidden)]

    @torch.inference_mode()
    def hidden(self, ids: Tensor, lengths: Sequence[int], positions: Tensor) -> Tensor:
        """What the head reads to predict K positions: `[K, W]`.

        `ids [N]` are canvases end to end, N the sum of `lengths`; each attends to itself alone, and neighbours of
        one length cost the least. `positions [K]` index into `ids`. For a model with shifted logits the row is
        taken one to the left (a canvas's first takes its own). In float32 on the CPU a canvas's rows are the same
        bits whatever it is packed with.
        """
        assert ids.shape == (sum(lengths),)
        position_ids, packings = self._packings(tuple(lengths))
        if self.logits_are_shifted:
            positions = positions - (position_ids[positions] > 0).long()
        read = _dealt(positions, [packing.inside for packing in packings])
        states = self.lanes.map(
            lambda part: self._packed(ids[part[0].inside], *part), [*zip(packings, read.rows, strict=True)]
        )
        return self._in_order(states, read)

    @torch.inference_mode()
    def hidden_in_windows(
        self, ids: Tensor, windows: Sequence[Tensor], places: Sequence[range], rows: Tensor
    ) -> Tensor:
        """`hidden`, reading each canvas only in a window of its positions. The rest is as when it was last read.

        `ids [N]` are the tokens in all `windows`, each the positions `[w]` of one canvas, N the sum of w; `places`
        are the canvases' ranges in `key_values`, in order. `rows [K]` index into `ids`; nothing is shifted here.
        """
        sizes = [len(window) for window in windows]

        parts = shared_out(sizes, self.lanes.count)
        insides = [slice(sum(sizes[: part.start]), sum(sizes[: part.stop])) for part in parts]
        read = _dealt(rows, insides)

        def packed(lane: int) -> Tensor:
            part = parts[lane]
            position_ids = torch.cat([*windows[part]])  # [n]
            starts = torch.tensor([place.start for place in places[part]])
            written = starts.repeat_interleave(torch.tensor(sizes[part])) + position_ids
            cache = self.key_values.at(self.upload(written))
            packing = self._packing(insides[lane], position_ids, _in_places(sizes[part], places[part]))
            return self._packed(ids[packing.inside], packing, read.rows[lane], past_key_values=cache)

        return self._in_order(self.lanes.map(packed, range(len(parts))), read)

    def _in_order(self, states: Sequence[Tensor], read: "Dealt") -> Tensor:
        return torch.cat([*states])[self.upload(read.places)] if len(states) > 1 else states[0]

    def _packed(self, ids: Tensor, packing: Packing, rows: Tensor, **cache: Any) -> Tensor:
        """Hidden states `[K, W]` at `rows [K]` of packed `ids [N]`. Filler is token 0 and row 0, which are valid."""
        return cast(
            Tensor,
            self._decoder(
                input_ids=self.upload(self._filled(ids))[None],
                rows=self.upload(self._in_full_sixteens(rows)),
                position_ids=packing.position_ids,
                segments=packing.segments,
                bounds=packing.bounds,
                use_cache=False,
                **cache,
            ).last_hidden_state[0, : len(rows)],
        )

    def _in_full_sixteens(self, rows: Tensor) -> Tensor:
        """A CPU's kernels in 16 bits are made for each number of rows, and kept: half a megabyte for every new one."""
        return pad(rows, (0, -len(rows) % ROW_MULTIPLE)) if self.device.type == "cpu" else rows

    def _filled(self, ids: Tensor) -> Tensor:
        """As many as a product's rows must be."""
        return pad(ids, (0, num_filler_rows(len(ids), self.device, self.dtype)))

    def _packings(self, lengths: tuple[int, ...]) -> tuple[Tensor, list[Packing]]:
        """Position ids `[N]`, on the host, and how each lane reads its canvases, which are read whole.

        The last ones are kept: a batch that nobody joins or leaves asks for the same in every step.
        """
        asked = lengths, self.lanes.count
        if self._last_packings is None or self._last_packings[0] != asked:
            assert min(lengths) > 0
            position_ids = torch.cat([torch.arange(length) for length in lengths])
            packings = []
            for part in shared_out(lengths, self.lanes.count):
                inside = slice(sum(lengths[: part.start]), sum(lengths[: part.stop]))
                packings.append(self._packing(inside, position_ids[inside], segments_of(lengths[part])))
            self._last_packings = asked, position_ids, packings
        return self._last_packings[1:]

    def _packing(self, inside: slice, position_ids: Tensor, segments: Sequence[Segment]) -> Packing:
        uploaded = self.upload(self._filled(position_ids))
        bounds = None
        if takes_variable_lengths(self.device, self.dtype):
            on_host = bounds_of(segments, torch.device("cpu"))
            bounds = replace(on_host, queries=self.upload(on_host.queries), keys=self.upload(on_host.keys))
        return Packing(inside, uploaded[None], segments, bounds)

    def upload(self, tensor: Tensor) -> Tensor:
        """To the device; to CUDA from pinned memory, so that the copy waits in this stream and not in this thread."""
        if self.device.type != "cuda" or tensor.device.type == "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Dealt:
    """Rows to read, dealt to the lanes whose positions they are among."""

    rows: Sequence[Tensor]  # of each lane, counted from where it starts
    places: Tensor  # [K] long: where each row is in those of all lanes


def _dealt(rows: Tensor, insides: Sequence[slice]) -> Dealt:
    """`rows [K]`, in any order; `insides` are the lanes' positions, one after the other."""
    if len(insides) == 1:
        return Dealt((rows,), torch.arange(len(rows)))
    starts = torch.tensor([inside.start for inside in insides])
    lane_of = torch.bucketize(rows, starts, right=True) - 1
    order = lane_of.argsort(stable=True)
    counts = lane_of.bincount(minlength=len(insides)).tolist()
    return Dealt(torch.split((rows - starts[lane_of])[order], counts), order.argsort())


def _in_places(sizes: Sequence[int], places: Sequence[range]) -> tuple[Segment, ...]:
    """Windows of these sizes end to end, each attending to its canvas's place."""
    firsts = accumulate(sizes, initial=0)
    return tuple(
        Segment(1, size, len(place), first, place.start)
        for size, place, first in zip(sizes, places, firsts, strict=False)
    )
