"""Lanes: threads of one worker that share the canvases of a forward among them, on a CPU.

Canvases do not see each other, so lanes need not wait for each other before the end, as threads inside every product
do. Which lane reads a canvas changes no bit of it.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


class Lanes:
    """One thread at first: the caller's."""

    def __init__(self) -> None:
        self.count = 1
        self._pool: ThreadPoolExecutor | None = None

    def open(self, count: int, num_threads: int) -> None:
        """`count` threads from now on, the caller's among them; the others use `num_threads` for their products."""
        if self._pool is not None:
            self._pool.shutdown()
        self.count = count
        others = count - 1
        self._pool = ThreadPoolExecutor(others, "tie-lane", torch.set_num_threads, (num_threads,)) if others else None

    def close(self) -> None:
        """No more work: idle threads end, and whoever still asks for some meets an exception."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def map(self, work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
        """`work` of every part, in order. An exception of any is raised once nobody works any more."""
        if self._pool is None or len(parts) < 2:
            return [work(part) for part in parts]
        others = [self._pool.submit(_inferring, work, part) for part in parts[1:]]
        try:
            first = work(parts[0])
        finally:
            wait(others)
        return [first, *(other.result() for other in others)]


def _inferring(work: Callable[[Part], Result], part: Part) -> Result:
    """Inference mode belongs to a thread."""
    with torch.inference_mode():
        return work(part)


def shared_out(sizes: Iterable[int], num_parts: int) -> list[slice]:
    """Consecutive items of these sizes in at most `num_parts` slices, about as large as each other; none is empty."""
    sizes = list(sizes)
    share = sum(sizes) / num_parts
    ends, before = [0], 0
    for index, size in enumerate(sizes, start=1):
        if before + size / 2 >= share * len(ends) and index - 1 > ends[-1]:
            ends.append(index - 1)
        before += size
    return [slice(start, end) for start, end in zip(ends, [*ends[1:], len(sizes)], strict=True) if start < end]
