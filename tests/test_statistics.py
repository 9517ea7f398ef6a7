"""Means and intervals against scipy, closed forms and what must hold for all data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coevolve.statistics import Estimate, estimate, mean, mean_at_k, mean_by

RATES = st.lists(st.integers(0, 8).map(lambda right: right / 8), min_size=1, max_size=60)


def test_mean_at_k_is_the_share_of_right_answers_per_problem() -> None:
    right = [[True, False, True, True], [False] * 4, [True] * 4]
    assert mean_at_k(right).tolist() == [0.75, 0.0, 1.0]


def test_mean_at_k_of_no_problems_is_empty() -> None:
    assert mean_at_k(np.empty((0, 8), np.bool_)).shape == (0,)


def test_mean_at_k_refuses_a_flat_array() -> None:
    with pytest.raises(ValueError, match=r"\(3,\)"):
        mean_at_k([True, False, True])


def test_interval_agrees_with_the_percentile_bootstrap_of_scipy() -> None:
    values = mean_at_k(np.random.default_rng(1).random((120, 8)) < 0.3)
    found = estimate(values)
    oracle = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = oracle.high - oracle.low
    assert found.mean == pytest.approx(values.mean(), abs=1e-15)
    assert found.low == pytest.approx(oracle.low, abs=0.05 * width)
    assert found.high == pytest.approx(oracle.high, abs=0.05 * width)


def test_interval_of_many_problems_is_the_normal_one() -> None:
    values = np.random.default_rng(3).random(400)
    half = 1.96 * values.std(ddof=1) / math.sqrt(values.size)
    found = estimate(values)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_correlated_answers_do_not_narrow_the_interval() -> None:
    """Eight equal answers to a problem are worth one: clustering by problem sees through the copies."""
    one = np.random.default_rng(4).random((100, 1)) < 0.5
    assert estimate(mean_at_k(np.repeat(one, 8, axis=1))) == estimate(mean_at_k(one))


def test_interval_covers_the_true_rate_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        difficulty = rng.beta(0.5, 0.5, size=(100, 1))  # problems differ, their answers agree: true mean 0.5
        found = estimate(mean_at_k(rng.random((100, 4)) < difficulty), resamples=2000)
        hits += found.low <= 0.5 <= found.high
    assert 0.91 <= hits / 400 <= 0.98


@settings(max_examples=60, deadline=None)
@given(RATES, st.integers(0, 2**32 - 1))
def test_interval_contains_the_mean_and_stays_within_the_data(values: list[float], seed: int) -> None:
    found = estimate(values, resamples=2000, seed=seed)
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert min(values) - 1e-12 <= found.low <= found.mean <= found.high <= max(values) + 1e-12


@settings(max_examples=30, deadline=None)
@given(RATES, st.randoms())
def test_interval_does_not_depend_on_the_order_of_problems(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert estimate(shuffled) == estimate(values)


def test_paired_differences_give_a_narrower_interval_than_two_unpaired_ones() -> None:
    rng = np.random.default_rng(6)
    difficulty = rng.random(200)
    before, after = difficulty * 0.8, difficulty * 0.8 + 0.1 + 0.01 * rng.standard_normal(200)
    paired = estimate(after - before)
    assert paired.mean == pytest.approx(0.1, abs=0.01)
    assert paired.high - paired.low < 0.1 * (estimate(after).high - estimate(after).low)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert estimate([0.1] * 7) == Estimate(0.1, 0.1, 0.1, 7)


def test_nothing_is_unknown_and_not_zero() -> None:
    found = estimate([])
    assert found.n == 0
    assert all(math.isnan(number) for number in (found.mean, *found.ci95, mean([])))


def test_mean_by_group_keeps_the_order_of_first_appearance() -> None:
    found = mean_by([1.0, 0.0, 0.5, 0.25], ["2", "1", "2", "1"])
    assert list(found.items()) == [("2", 0.75), ("1", 0.125)]


def test_mean_by_refuses_groups_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="2 values, but 1 groups"):
        mean_by([1.0, 0.0], ["1"])
