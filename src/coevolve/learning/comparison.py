"""Whether a policy became worse: one paired interval over tasks. Pure numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

COVERAGE = 0.99
MIN_TASKS = 16  # below, an interval from the spread of the differences can be far too narrow by chance


@dataclass(frozen=True, slots=True)
class Comparison:
    """The mean of ``n`` paired differences, new minus old, with its interval; NaN where there is none."""

    difference: float
    low: float
    high: float
    n: int

    @property
    def worse(self) -> bool:
        """Whether the new one is worse beyond noise: the whole interval is below 0, over enough tasks."""
        return self.n >= MIN_TASKS and self.high < 0


def paired_comparison(new: ArrayLike, old: ArrayLike) -> Comparison:
    """Student's interval of the mean difference over tasks, mean ± t(n - 1) * std / sqrt(n), covering 99 %.

    Each task is one observation, however many answers its number is the mean of: answers to one task are not
    independent. Of two policies that are equal it calls the new one worse in about half a percent of all cases
    (``benchmarks/probe.py`` measures it).

    Args:
        new: [n] a number per task, for instance the share of answers that agree with a label.
        old: [n] the same of the other policy. A task that is NaN in either is left out.

    Raises:
        ValueError: the two differ in length.
    """
    left, right = np.asarray(new, dtype=np.float64), np.asarray(old, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"numbers per task of the shapes {left.shape} and {right.shape} cannot be paired")
    differences = (left - right)[np.isfinite(left - right)]
    n = len(differences)
    if n < 2:
        return Comparison(float(differences[0]) if n else math.nan, math.nan, math.nan, n)
    mean = float(differences.mean())
    half = float(stdtrit(n - 1, (1 + COVERAGE) / 2)) * float(differences.std(ddof=1)) / math.sqrt(n)
    return Comparison(mean, mean - half, mean + half, n)
