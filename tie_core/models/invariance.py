"""What makes a row of a forward independent, bit for bit, of the rows beside it (float32 on the CPU).

A CPU kernel picks its inner loop by the number of rows, by where a row falls in a thread's share, and by
alignment. Three things were seen to differ in the last bit: matrix products with a remainder of 1 to 3 rows,
also in a thread's share; the scalar tail of a vectorised SiLU; and rows that are not 16-byte aligned, which
only a layer width that is no multiple of 4 can bring about (no published model has one; it is not covered).
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

ROW_MULTIPLE: Final = 16
"""Matrix products run with a multiple of so many rows. 4 suffices for MKL with 1 to 16 threads."""

VECTORS: Final = 32
"""The fused kernel takes two vectors of at most 16 float32 at a time."""
GRAIN: Final = 32_768
"""Values below which torch does not give an elementwise kernel another thread."""


def is_exact(device: torch.device, dtype: torch.dtype) -> bool:
    """Where a row of a forward is promised to be the same bits in any company."""
    return device.type == "cpu" and dtype.itemsize >= 4


def num_filler_rows(num_rows: int, device: torch.device, dtype: torch.dtype) -> int:
    """Rows to add to a product's; none where nothing is promised."""
    return -num_rows % ROW_MULTIPLE if is_exact(device, dtype) else 0


class RowwiseSiLU(nn.Module):
    """SiLU whose value depends neither on its place in the tensor nor on the number of threads, for a multiple of
    ROW_MULTIPLE rows.

    The fused kernel is used where its vectors leave no scalar tail. Elsewhere it is x / (1 + exp(-x)): of its parts
    only `exp` is not exactly rounded, and torch's gives a value independent of its place.
    """

    def forward(self, gate: Tensor) -> Tensor:
        if not is_exact(gate.device, gate.dtype):
            return silu(gate)  # every step of the long form would round to the narrow type
        if ROW_MULTIPLE * gate.shape[-1] % VECTORS:
            return gate / gate.neg().exp_().add_(1.0)
        return _in_whole_vectors(gate)


def _in_whole_vectors(gate: Tensor) -> Tensor:
    """Cut so that no thread's share ends inside a vector: shares are equal, and of GRAIN values at least."""
    num_threads = torch.get_num_threads()
    if num_threads == 1 or (num_threads == 2 and gate.numel() % (2 * VECTORS) == 0):
        return silu(gate)
    values, activated = gate.reshape(-1), torch.empty_like(gate)
    num_shared = len(values) // (num_threads * GRAIN) * num_threads * GRAIN
    pieces = [num_threads * GRAIN] * (num_shared // (num_threads * GRAIN))
    pieces += [GRAIN] * ((len(values) - num_shared) // GRAIN)
    pieces += [len(values) - sum(pieces)]
    for piece, result in zip(torch.split(values, pieces), torch.split(activated.view(-1), pieces), strict=True):
        result.copy_(silu(piece))
    return activated
