"""Rates over problems and how sure one can be of them.

A measurement is an array over n problems with k answers each. The problems are a sample of the world's
problems, the k answers to one problem are not independent of each other: whatever is said about uncertainty
is said over problems.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)

RESAMPLES = 10_000
BOOTSTRAP_SEED = 20_251_120  # fixed: an interval is a function of the data alone
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over ``n`` problems with its 95 % interval; all three numbers are NaN when n is 0."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def ci95(self) -> list[float]:
        """The interval as the run folder stores it: [low, high]."""
        return [self.low, self.high]


def mean_at_k(right: ArrayLike) -> Values:
    """The share of right answers of each problem.

    Args:
        right: [n, k] true where answer j to problem i is right.

    Returns:
        [n] fractions. Their mean over problems is mean@k, the expected accuracy of one sampled answer.
    """
    answers = np.asarray(right, dtype=np.float64)
    if answers.ndim != 2:
        raise ValueError(f"expected an array [problems, answers], got the shape {answers.shape}")
    return answers.mean(axis=1) if len(answers) else np.empty(0)


def estimate(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = BOOTSTRAP_SEED) -> Estimate:
    """The mean over problems and its 95 % percentile bootstrap interval, clustered by problem.

    Whole problems are drawn with replacement, each with all of its answers, so that k correlated answers do
    not count as k observations. To compare two policies on the same problems, give this function the n
    differences: the interval is then paired. Two limits: the interval speaks of the choice of problems, not
    of the training seed; and values that are all equal (a rate of 0 or 1) give an interval of width 0.

    The number of times each *distinct* value is drawn is multinomial, which is the same distribution as
    drawing the problems one by one, and costs resamples x (k + 1) numbers instead of resamples x n. The order
    of the problems does not matter.

    Args:
        values: [n] one number per problem, for example ``mean_at_k``.
        resamples: bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        The interval always contains the mean.
    """
    numbers = np.asarray(values, dtype=np.float64)
    n = numbers.size
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    distinct, counts = np.unique(numbers, return_counts=True)
    if distinct.size == 1:
        value = float(distinct[0])
        return Estimate(value, value, value, n)
    centre = float(distinct @ counts / n)
    draws = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(draws @ distinct / n, [tail, 1 - tail])
    return Estimate(centre, min(float(low), centre), max(float(high), centre), n)


def mean(values: ArrayLike) -> float:
    """The mean, NaN of nothing: a rate over no problems is unknown, not zero."""
    numbers = np.asarray(values, dtype=np.float64)
    return float(numbers.mean()) if numbers.size else float("nan")


def mean_by(values: ArrayLike, groups: Sequence[Key]) -> dict[Key, float]:
    """The mean of each group, in order of first appearance.

    Args:
        values: [n] one number per problem.
        groups: n keys, for example levels.
    """
    numbers = np.asarray(values, dtype=np.float64)
    members: dict[Key, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    if len(groups) != numbers.size:
        raise ValueError(f"{numbers.size} values, but {len(groups)} groups")
    return {group: float(numbers[indices].mean()) for group, indices in members.items()}
