"""Members on a device of our making: memory for so many positions, and a count of the forwards that reached it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from tests.members import tiny
from tie_core.errors import MemberError
from tie_core.member import Member, Query
from tie_core.prediction import Prediction


@dataclass
class Memory:
    """`num_positions` is what fits; `forwards` are the canvas lengths of every forward that was tried."""

    num_positions: int
    forwards: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Cramped(Member):
    """A tiny member whose forwards run out of memory above so many positions, as CUDA's do."""

    memory: Memory

    def predict(self, queries: Sequence[Query]) -> list[Prediction | MemberError]:
        lengths = tuple(len(query.canvas.ids) for query in queries)
        self.memory.forwards.append(lengths)
        if sum(lengths) > self.memory.num_positions:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super().predict(queries)


def cramped(name: str, num_positions: int) -> Cramped:
    member = tiny(name)
    return Cramped(member.name, member.model, member.vocabulary, Memory(num_positions))
