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


def num_filler_rows(num_rows: int) -> int:
    return -num_rows % ROW_MULTIPLE


class RowwiseSiLU(nn.Module):
    """SiLU whose value does not depend on its place in the tensor, for tensors with a multiple of ROW_MULTIPLE rows.

    The fused kernel is used where no thread's share has a scalar tail. Elsewhere it is x / (1 + exp(-x)): of its
    parts only `exp` is not exactly rounded, and torch's gives a value independent of its place.
    """

    def forward(self, gate: Tensor) -> Tensor:
        is_exact_mode = gate.dtype.itemsize >= 4 and gate.device.type == "cpu"
        if not is_exact_mode or has_no_tail(gate.shape[-1], torch.get_num_threads()):
            return silu(gate)
        return gate / gate.neg().exp_().add_(1.0)


def has_no_tail(width: int, num_threads: int) -> bool:
    """Whether threads that share ROW_MULTIPLE or more rows of this width equally get whole vectors.

    A kernel takes two vectors of 16 float32 at a time, and may use fewer threads than there are: halves are all that
    is sure.
    """
    return num_threads <= 2 and ROW_MULTIPLE * width % (2 * 32) == 0
