"""Muon: momentum whose matrix updates are made orthogonal (Jordan et al. 2024). Learns to copy digits where
AdamW does not at this budget. Used only to raise the base model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest Newton-Schulz polynomial at 0, from the Muon write-up


def orthogonalised(gradient: Tensor, steps: int = 5) -> Tensor:
    """Roughly the nearest semi-orthogonal matrix to ``gradient`` [rows, cols]; singular values 0.7..1.2."""
    a, b, c = _QUINTIC
    tall = gradient.shape[0] > gradient.shape[1]
    x = gradient.T if tall else gradient
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    oriented: Tensor = x.T if tall else x
    return oriented


class Muon:
    """Nesterov momentum, orthogonalised, with decoupled weight decay; for matrices only."""

    def __init__(self, matrices: Iterable[Tensor], *, momentum: float = 0.95, weight_decay: float = 0.1) -> None:
        self.matrices = list(matrices)
        self.momentum, self.weight_decay = momentum, weight_decay
        self._velocity = [torch.zeros_like(matrix) for matrix in self.matrices]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update; a tall matrix moves further, so that every output unit moves alike."""
        for matrix, velocity in zip(self.matrices, self._velocity, strict=True):
            if matrix.grad is None:
                continue
            velocity.mul_(self.momentum).add_(matrix.grad)
            update = orthogonalised(matrix.grad + self.momentum * velocity)
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            matrix.mul_(1 - lr * self.weight_decay).add_(update, alpha=-lr * scale)
