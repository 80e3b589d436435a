"""Muon for the matrices of a transformer's blocks: momentum whose update is orthogonalised by Newton-Schulz.

Source: Keller Jordan's description of Muon (2024). Matrices of one shape are orthogonalised as one batch.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor, nn

NEWTON_SCHULZ_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS: Final = 5


class Muon:
    """Nesterov momentum, orthogonalised and scaled by sqrt(rows / columns) where that is more than one."""

    def __init__(self, matrices: Iterable[nn.Parameter], momentum: float = 0.95) -> None:
        self.momentum = momentum
        self._groups: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for matrix in matrices:
            self._groups[matrix.shape].append(matrix)
        self._buffers = {
            shape: torch.zeros((len(group), *shape), dtype=torch.float32) for shape, group in self._groups.items()
        }

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        for shape, group in self._groups.items():
            gradients = torch.stack([matrix.grad for matrix in group if matrix.grad is not None])
            buffer = self._buffers[shape]
            buffer.lerp_(gradients, 1 - self.momentum)
            update = orthogonalise(gradients.lerp(buffer, self.momentum))
            scale = learning_rate * max(1.0, shape[0] / shape[1]) ** 0.5
            for matrix, change in zip(group, update, strict=True):
                matrix.sub_(change, alpha=scale)
                matrix.grad = None


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: [N, rows, columns] -> the same shape."""
    is_tall = matrices.shape[1] > matrices.shape[2]
    wide: Tensor = matrices.transpose(1, 2) if is_tall else matrices
    wide = wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, second, third = NEWTON_SCHULZ_COEFFICIENTS
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = wide @ wide.transpose(1, 2)
        wide = first * wide + (second * gram + third * gram @ gram) @ wide
    return wide.transpose(1, 2) if is_tall else wide
