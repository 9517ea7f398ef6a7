"""Rates over problems with their intervals, and paired comparisons over seeds, problems or tasks.

A measurement is an array over n problems with k answers each. The problems are a sample of the world's problems, and
the k answers to one problem are not independent: all uncertainty is over problems. Several runs that differ only in
their seeds also show how much the seed matters (:func:`crossed`, :func:`crossed_difference`, :func:`over_seeds`)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

Values = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)

RESAMPLES = 10_000
BOOTSTRAP_SEED = 20_251_120  # fixed: an interval is a function of the data alone
COVERAGE = 0.95
Ends = tuple[float, float]
RATES: Ends = (0.0, 1.0)
DIFFERENCES: Ends = (-1.0, 1.0)
# Problems that deviate, from which on the bootstrap over problems holds: then it covers at least 93 %.
ENOUGH = {RATES: 15, DIFFERENCES: 10}
NEAR = 0.2  # of an end, a mean of rates may need another interval


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
    """The share of correct answers to each problem.

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
    """The mean of rates over problems and its 95 % interval, clustered by problem.

    Where enough problems deviate from the mean (:func:`deviating`) this is the percentile bootstrap: whole problems are
    drawn with replacement, each with all of its answers, so that k correlated answers do not count as k observations.

    Within 0.2 of 0 and 1 few problems may deviate, and those that were not met by chance cannot be drawn: of 60
    problems at a truth of 99 % more than half of all samples hold none that fails, and the bootstrap says 100 to
    100 %. There the interval is that of Clopper and Pearson for n problems, a problem with a rate of 3/8 being 3/8 of a
    right one; one right or wrong answer per problem scatters more than any other rates of this mean, so that it is too
    narrow for none. (Wilson's interval is narrower, but covers only 84 % where 0.18 failures are expected: Brown, Cai
    and DasGupta 2001, Statistical Science 16.)

    The interval speaks of the choice of problems, not of the training seed. The order of the problems does not
    matter. Differences of two policies belong to :func:`crossed_difference`.

    Args:
        values: [n] one rate per problem, for example ``mean_at_k``. Numbers that leave [0, 1] have no ends, and the
            bootstrap speaks for them in any case. Values that are all equal inside (0, 1) show no scatter of
            problems at all: an interval of width 0.
        resamples: bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        The interval always contains the mean and stays within [0, 1].
    """
    numbers = np.asarray(values, dtype=np.float64)
    n = numbers.size
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    ends = _ends_of(numbers)
    draws = _problem_draws(numbers, np.random.default_rng(seed), resamples, ends)
    distinct, counts = np.unique(numbers, return_counts=True)  # whose sum does not depend on the order
    centre = float(distinct[0] if distinct.size == 1 else distinct @ counts / n)
    return _around(centre, draws, n, ends)


def deviating(values: ArrayLike) -> float:
    """How many of n numbers scatter around their mean, n / kurtosis: all of them where they deviate equally much.

    Of n answers of which a few are wrong it is about the number of wrong ones; of normal numbers a third.
    """
    deviations = np.asarray(values, dtype=np.float64)
    deviations = deviations - deviations.mean()
    squares = float((deviations**2).sum())
    return squares**2 / float((deviations**4).sum()) if squares > 0 else 0.0


def over_seeds(values: ArrayLike) -> Estimate:
    """The mean of one number per seed with its 95 % t-interval: seeds scatter normally around the mean.

    Args:
        values: [s] one number per seed.

    Returns:
        ``n`` is the number of seeds. The bounds are NaN for fewer than two, of which nothing is known about scatter.
    """
    numbers = np.asarray(values, dtype=np.float64)
    centre = mean(numbers)
    if numbers.size < 2:
        return Estimate(centre, np.nan, np.nan, numbers.size)
    half = float(stdtrit(numbers.size - 1, (1 + COVERAGE) / 2)) * _standard_error(numbers)
    return Estimate(centre, centre - half, centre + half, numbers.size)


def crossed(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = BOOTSTRAP_SEED) -> Estimate:
    """The mean over seeds and problems with a 95 % interval that covers both.

    All seeds meet the same problems. The interval is that of the sum of two independent deviations: of the problems,
    by the bootstrap of :func:`estimate` over the means of each problem, and of the seeds, by draws of Student's t
    around the means of each seed. Seeds are not drawn with replacement because three of them have ten such samples,
    whose interval contains the truth far too rarely (Hesterberg 2015, arXiv 1411.5279).
    With one seed this is :func:`estimate`, the interval over problems alone; with seeds that all agree it is so too;
    with problems that all agree it is :func:`over_seeds`. Of rates it stays within [0, 1].

    It assumes that seeds scatter normally. Where a part of them collapses, few seeds that all went well say nothing of
    those that do not: of three seeds without a collapse, up to 71 % of all may collapse (:func:`share_of`).

    Args:
        values: [s, n] one number per seed and problem.
        resamples: draws of both.
        seed: seed of the drawing.
    """
    table = _table(values)
    if not table.size:
        return Estimate(np.nan, np.nan, np.nan, 0)
    problems, seeds, ends = table.mean(axis=0), table.mean(axis=1), _ends_of(table)
    first, second = _streams(seed)
    draws = _problem_draws(problems, first, resamples, ends) + _seed_draws(seeds, second, resamples)
    return _around(float(table.mean()), draws, problems.size, ends)


def crossed_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    same_problems: bool,
    same_seeds: bool,
    resamples: int = RESAMPLES,
    seed: int = BOOTSTRAP_SEED,
) -> Estimate:
    """The mean of ``second`` minus that of ``first``, with an interval as that of :func:`crossed`.

    Where rows or columns of the two belong together their differences are what deviates (paired); where not, the
    two deviate independently of each other. The seeds' part is left out when one of the two has a single seed and
    rows do not belong together: its scatter is unknown then.

    Where few pairs of problems differ, a bootstrap of the differences would call four of sixty that all rose a rise.
    One problem that falls and one that rises as far as the largest difference seen are then drawn from as well: of
    right-or-wrong answers this finds a difference from six of six on, as McNemar's exact test does.

    Args:
        first: [s, n] one number per seed and problem.
        second: [s', n'] likewise; s' = s with ``same_seeds``, n' = n with ``same_problems``.
        same_problems: column i is the same problem in both.
        same_seeds: row i has the same seed in both.

    Raises:
        ValueError: the shapes do not allow the pairs.
    """
    a, b = _table(first), _table(second)
    for axis, paired in enumerate((same_seeds, same_problems)):
        if paired and a.shape[axis] != b.shape[axis]:
            raise ValueError(f"arrays of shapes {a.shape} and {b.shape} cannot be paired along axis {axis}")
    if not (a.size and b.size):
        return Estimate(np.nan, np.nan, np.nan, 0)
    of_problems, of_seeds = _streams(seed)
    ends = _ends_of(np.concatenate([a.ravel(), b.ravel()]))
    apart = DIFFERENCES if ends else None
    p, q = a.mean(axis=0), b.mean(axis=0)
    if same_problems:
        draws = _problem_draws(q - p, of_problems, resamples, apart)
    else:
        draws = _problem_draws(q, of_problems, resamples, ends) - _problem_draws(p, of_problems, resamples, ends)
    p, q = a.mean(axis=1), b.mean(axis=1)
    if same_seeds:
        draws = draws + _seed_draws(q - p, of_seeds, resamples)
    elif min(p.size, q.size) > 1:
        draws = draws + _seed_draws(q, of_seeds, resamples) - _seed_draws(p, of_seeds, resamples)
    return _around(float(b.mean() - a.mean()), draws, min(a.shape[1], b.shape[1]), apart)


def share_of(count: float, of: int) -> Estimate:
    """The share of ``count`` among ``of`` with the 95 % interval of Clopper and Pearson, which covers at least that.

    Args:
        count: from 0 to ``of``; may be a sum of shares.
        of: at least 1.
    """
    tail = (1 - COVERAGE) / 2
    low, high = _clopper_pearson(count, of, np.array([tail, 1 - tail]))
    return Estimate(count / of, float(low), float(high), of)


def _clopper_pearson(count: float, of: int, levels: Values) -> Values:
    """The bounds of the share that is left out with each probability: lower ones below 0.5, upper ones above."""
    lower = betaincinv(count, of - count + 1, levels) if count > 0 else np.zeros(levels.shape)
    upper = betaincinv(count + 1, of - count, levels) if count < of else np.ones(levels.shape)
    return np.where(levels < 0.5, lower, upper)


def _ends_of(values: Values) -> Ends | None:
    """Those of rates; None of numbers that leave them."""
    return RATES if values.size and values.min() >= 0 and values.max() <= 1 else None


def _table(values: ArrayLike) -> Values:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"expected an array [seeds, problems], got the shape {table.shape}")
    return table


def _streams(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Independent generators for problems and seeds; the first is the one of :func:`estimate`."""
    return np.random.default_rng(seed), np.random.default_rng([seed, 1])


def _problem_draws(values: Values, generator: np.random.Generator, resamples: int, ends: Ends | None) -> Values:
    """[resamples] deviations of the mean of problems that are drawn with replacement, or of what holds near its ends.

    The number of times each *distinct* value is drawn is multinomial, which is the same distribution as drawing the
    problems one by one, and costs resamples x (k + 1) numbers instead of resamples x n.
    """
    distinct, counts = np.unique(values, return_counts=True)
    n = total = values.size
    if distinct.size == 1 and distinct[0] not in (ends or ()):
        return np.zeros(resamples)
    right = distinct @ counts
    near = ends == DIFFERENCES or not NEAR <= right / n <= 1 - NEAR
    if ends and near and deviating(values) < ENOUGH[ends]:
        if ends == RATES:
            levels = (np.arange(resamples) + 0.5) / resamples
            bounds = _clopper_pearson(float(right), n, levels)
            return np.asarray(generator.permutation(bounds - right / n), dtype=np.float64)
        distinct = np.append(distinct, [-np.abs(distinct).max(), np.abs(distinct).max()])
        counts, total = np.append(counts, [1, 1]), n + 2
    draws = generator.multinomial(total, counts / total, size=resamples)
    return np.asarray((draws @ distinct - right) / n if total == n else draws @ distinct / total - right / n)


def _seed_draws(means: Values, generator: np.random.Generator, resamples: int) -> Values:
    """[resamples] deviations of the mean over seeds: Student's t, at evenly spaced quantiles in random order."""
    if means.size < 2 or np.ptp(means) == 0:
        return np.zeros(resamples)
    quantiles = stdtrit(means.size - 1, (np.arange(resamples) + 0.5) / resamples)
    return np.asarray(_standard_error(means) * generator.permutation(quantiles), dtype=np.float64)


def _standard_error(values: Values) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size))


def _around(centre: float, deviations: Values, n: int, ends: Ends | None) -> Estimate:
    """The interval between the two tails of the deviations, which always contains the centre and stays in its ends."""
    tail = (1 - COVERAGE) / 2
    low, high = (float(bound) for bound in centre + np.quantile(deviations, [tail, 1 - tail]))
    if ends:
        low, high = max(low, ends[0]), min(high, ends[1])
    return Estimate(centre, min(low, centre), max(high, centre), n)


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


PAIRED_COVERAGE = 0.99
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
    half = float(stdtrit(n - 1, (1 + PAIRED_COVERAGE) / 2)) * float(differences.std(ddof=1)) / math.sqrt(n)
    return Comparison(mean, mean - half, mean + half, n)
