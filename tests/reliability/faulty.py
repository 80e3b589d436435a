"""Members that fail on purpose: at one request's row, at one moment of it, in one of seven ways."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import torch

from tie_core.member import Member, Pack
from tie_core.prediction import Columns

FaultKind = Literal["exception", "not_a_number", "infinite", "out_of_memory", "wrong_shape", "stall", "death"]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
OF_A_WORKER = ("stall", "death")
REASONS = {"not_a_number": "not_finite", "infinite": "not_finite", "stall": "stalled", "death": "died"}
MARK = "~"  # in the prompt of the request that is hit


class Killed(BaseException):
    """Ends a thread: nobody catches it."""


@dataclass
class Fault:
    """What happens to a canvas with the mark when so many of its positions are masked. None is armed at first."""

    kind: FaultKind = "exception"
    masks: int = -1
    num_hits: int = 0
    struck_at: float = 0.0  # the first time, by the monotonic clock
    woken: threading.Event = field(default_factory=threading.Event)  # ends a stall

    def arm(self, kind: FaultKind, masks: int) -> None:
        self.kind, self.masks, self.num_hits = kind, masks, 0
        self.woken.clear()

    def disarm(self) -> None:
        self.masks = -1
        self.woken.set()


@dataclass(frozen=True)
class Faulty(Member):
    """Otherwise as the member that it is made of."""

    fault: Fault = field(default_factory=Fault)

    def read(self, pack: Pack) -> Columns:
        hit = self._hit(pack)
        if hit is None:
            return super().read(pack)
        if not self.fault.num_hits:
            self.fault.struck_at = time.monotonic()
        self.fault.num_hits += 1
        match self.fault.kind:
            case "exception":
                raise RuntimeError("secret prompt text")
            case "out_of_memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
            case "death":
                self.fault.disarm()
                raise Killed
            case "stall":
                self.fault.masks = -1
                self.fault.woken.wait(60)
                return super().read(pack)  # too late: nobody may hear of it
        return self._spoiled(super().read(pack), hit)

    def _spoiled(self, columns: Columns, hit: np.ndarray) -> Columns:
        if self.fault.kind == "wrong_shape":
            return Columns(*(getattr(columns, name)[:-1] for name in columns.__slots__))
        values = columns.top1.copy()
        values[hit] = np.nan if self.fault.kind == "not_a_number" else np.inf
        return replace(columns, top1=values)

    def _hit(self, pack: Pack) -> np.ndarray | None:
        """The rows of the canvas that is to be hit, if it is read here."""
        hits = []
        if (whole := pack.whole) is not None:
            hits.append(self._hit_in(whole.ids, whole.lengths, whole.positions))
        if (windowed := pack.windowed) is not None:
            hits.append(self._hit_in(windowed.ids, [len(window) for window in windowed.windows], windowed.rows))
        hit = np.concatenate(hits)
        return hit if hit.any() else None

    def _hit_in(self, ids: torch.Tensor, lengths: Sequence[int], rows: torch.Tensor) -> np.ndarray:
        hit, start = np.zeros(len(rows), dtype=bool), 0
        (mark,) = self.vocabulary.encode(MARK)
        for length in lengths:
            canvas = ids[start : start + length].tolist()
            if mark in canvas and canvas.count(self.vocabulary.mask_id) == self.fault.masks:
                hit |= ((rows >= start) & (rows < start + length)).numpy()
            start += length
        return hit


def faulty(member: Member) -> Faulty:
    return Faulty(member.name, member.model, member.vocabulary)
