"""The paired interval against scipy, and the cases at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from coevolve.statistics import MIN_TASKS, paired_comparison


@pytest.mark.parametrize(("n", "shift"), [(16, -0.1), (64, -0.02), (64, 0.3), (500, 0.0)])
def test_the_interval_is_that_of_the_paired_t_test(n: int, shift: float) -> None:
    draw = np.random.default_rng(n)
    old = draw.random(n)
    new = old + shift + draw.normal(0, 0.1, n)
    found = paired_comparison(new, old)
    expected = stats.ttest_rel(new, old).confidence_interval(0.99)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.difference == pytest.approx(float((new - old).mean()))
    assert found.worse == (stats.ttest_rel(new, old, alternative="less").pvalue < 0.005)


def test_pairing_sees_a_small_fall_that_the_spread_over_tasks_would_hide() -> None:
    old = np.linspace(0, 1, 40)
    wobble = np.where(np.arange(40) % 2, 0.01, -0.01)
    assert paired_comparison(old - 0.03 + wobble, old).worse
    assert not paired_comparison(old + 0.03 + wobble, old).worse
    assert not paired_comparison(old + wobble, old).worse


def test_equal_policies_are_equal() -> None:
    found = paired_comparison([0.5] * 30, [0.5] * 30)
    assert (found.difference, found.low, found.high, found.worse) == (0, 0, 0, False)


def test_few_tasks_decide_nothing() -> None:
    assert not paired_comparison([0.0] * (MIN_TASKS - 1), [1.0] * (MIN_TASKS - 1)).worse
    assert paired_comparison([0.0] * MIN_TASKS, [1.0] * MIN_TASKS).worse
    assert not paired_comparison([], []).worse
    assert math.isnan(paired_comparison([], []).difference)
    assert paired_comparison([0.25], [1.0]).difference == -0.75


def test_a_task_that_one_side_lost_is_left_out() -> None:
    new, old = [0.0, math.nan] * 20, [1.0, 1.0] * 20
    found = paired_comparison(new, old)
    assert (found.n, found.difference) == (20, -1.0)


def test_numbers_of_different_tasks_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_comparison([0.1, 0.2], [0.1])


def test_equal_policies_are_called_worse_in_half_a_percent() -> None:
    draw = np.random.default_rng(5)
    trials, alarms = 3000, 0
    for _ in range(trials):
        chance = draw.beta(1, 1, 64)
        new, old = draw.binomial(4, chance, (2, 64)) / 4
        alarms += paired_comparison(new, old).worse
    low, high = stats.binom.interval(0.9999, trials, 0.005)
    assert low <= alarms <= high
