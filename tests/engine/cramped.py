"""Members on a device of our making: memory for so many positions, and a count of the forwards that reached it."""

from dataclasses import dataclass, field

import torch

from tests.members import tiny
from tie_core.member import Member, Pack
from tie_core.prediction import Columns


@dataclass
class Memory:
    """`num_positions` is what fits; `forwards` are the lengths that every forward read or tried to."""

    num_positions: int
    forwards: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Cramped(Member):
    """A tiny member whose forwards run out of memory above so many positions, as CUDA's do."""

    memory: Memory

    def read(self, pack: Pack) -> Columns:
        whole = pack.whole.lengths if pack.whole else ()
        windows = tuple(len(window) for window in pack.windowed.windows) if pack.windowed else ()
        lengths = whole + windows
        self.memory.forwards.append(lengths)
        if sum(lengths) > self.memory.num_positions:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super().read(pack)


def cramped(name: str, num_positions: int) -> Cramped:
    member = tiny(name)
    return Cramped(member.name, member.model, member.vocabulary, Memory(num_positions))
