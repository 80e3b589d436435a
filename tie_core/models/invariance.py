"""What makes a row of a forward independent, bit for bit, of the rows beside it (float32 on the CPU).

A CPU kernel picks its inner loop by the number of rows, by where a row falls in a thread's share, and by
alignment. Three things were seen to differ in the last bit: matrix products with a remainder of 1 to 3 rows,
also in a thread's share; the scalar tail of a vectorised SiLU; and rows that are not 16-byte aligned, which
only a layer width that is no multiple of 4 can bring about (no published model has one; it is not covered).
"""

from typing import Final

from torch import Tensor, nn
from torch.nn.functional import silu

ROW_MULTIPLE: Final = 16
"""Matrix products run with a multiple of so many rows. 4 suffices for MKL with 1 to 16 threads."""


def num_filler_rows(num_rows: int) -> int:
    return -num_rows % ROW_MULTIPLE


class RowwiseSiLU(nn.Module):
    """x / (1 + exp(-x)): of its parts only `exp` is not exactly rounded, and torch's gives a value
    independent of its place in the tensor; the fused kernel does not.
    """

    def forward(self, gate: Tensor) -> Tensor:
        if gate.dtype.itemsize < 4 or gate.device.type != "cpu":
            return silu(gate)  # every step of the long form would round to the narrow type
        return gate / gate.neg().exp_().add_(1.0)
