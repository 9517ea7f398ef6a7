"""Learning-rate schedules."""

from __future__ import annotations


def warmup_lr(step: int, lr: float, warmup: int) -> float:
    """Learning rate of optimiser step ``step`` (from 0): linear from lr / warmup to lr in ``warmup`` steps."""
    return lr * min(1.0, (step + 1) / warmup) if warmup > 0 else lr
