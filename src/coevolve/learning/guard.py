"""Decides which updates of a policy are applied (non-finite numbers and exploding gradients are skipped), and its
learning-rate warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from coevolve.types import Batch, Floats

MIN_HISTORY = 4  # norms before their median is trusted: the first updates of a phase may be far apart


@dataclass(slots=True)
class UpdateGuard:
    """Judges the updates of one policy in one phase by the earlier ones, and counts how many in a row were skipped.

    Its state is two fields, ``norms`` and ``skipped_in_row``; a guard that is made with them goes on as the old one.

    Args:
        explosion: a gradient norm this many times the median of the phase so far is an explosion; 0: none is.
        max_skipped: skipped updates in a row at which the run has to stop.
        norms: gradient norms of the applied updates, before clipping, oldest first; without zeros.
        skipped_in_row: updates skipped since the last applied one.
    """

    explosion: float
    max_skipped: int
    norms: list[float] = field(default_factory=list)
    skipped_in_row: int = 0

    @property
    def limit(self) -> float:
        """The largest gradient norm that the next update may have; infinite while there is no reason to doubt one."""
        if not self.explosion or len(self.norms) < MIN_HISTORY:
            return math.inf
        return self.explosion * float(np.median(self.norms))

    def fault(self, loss: float, norm: float) -> str:
        """Why an update with this loss and gradient norm must be skipped; empty when it may be applied."""
        if not math.isfinite(loss):
            return "its loss is not a finite number"
        if not math.isfinite(norm):
            return "its gradient is not finite"
        if norm > self.limit:
            median = self.limit / self.explosion
            return f"its gradient norm of {norm:.3g} is more than {self.explosion:g} times the median {median:.3g}"
        return ""

    def made(self, norm: float) -> None:
        """An update was made. A norm of 0 (nothing to learn) says nothing about the next."""
        self.skipped_in_row = 0
        if norm > 0:
            self.norms.append(norm)

    def skipped(self) -> None:
        """An update was skipped."""
        self.skipped_in_row += 1

    @property
    def given_up(self) -> bool:
        """Whether so many updates in a row were skipped that something must be wrong."""
        return self.skipped_in_row >= self.max_skipped


def unusable(batch: Batch) -> str:
    """Names a non-finite number of a batch that the loss would use; empty when all are finite.

    Tokens of weight 0 may hold anything. It is asked before the loss is computed, because a clip bound or a row
    without advantage can hide such a number from it.
    """
    for row in batch.rows:
        used = row.weight != 0  # also where the weight itself is NaN
        streams = {
            "a weight": row.weight,
            "an advantage": row.advantage,
            "an old log-probability": row.old_logp,
            "a clip bound": row.clip_low + row.clip_high,
        }
        for name, values in streams.items():
            if not _all_finite(values[used]):
                return f"{name} is not a finite number"
    return ""


def largest_finite(values: Iterable[float]) -> float | None:
    """The largest finite number; None where there is none."""
    return max((v for v in values if math.isfinite(v)), default=None)


def _all_finite(values: Floats) -> bool:
    return bool(np.isfinite(values).all())


def warmup_lr(step: int, lr: float, warmup: int) -> float:
    """Learning rate of optimiser step ``step`` (from 0): linear from lr / warmup to lr in ``warmup`` steps."""
    return lr * min(1.0, (step + 1) / warmup) if warmup > 0 else lr
