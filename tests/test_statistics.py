"""Means and intervals against scipy, closed forms and what must hold for all data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coevolve.statistics import (
    Estimate,
    crossed,
    crossed_difference,
    deviating,
    estimate,
    mean,
    mean_at_k,
    mean_by,
    share_of,
)

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
def test_interval_contains_the_mean_and_is_one_of_rates(values: list[float], seed: int) -> None:
    found = estimate(values, resamples=2000, seed=seed)
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert 0 <= found.low <= found.mean <= found.high <= 1


@settings(max_examples=30, deadline=None)
@given(RATES, st.randoms())
def test_interval_does_not_depend_on_the_order_of_problems(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert estimate(shuffled) == estimate(values)


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.99, 0.999])
def test_interval_covers_every_truth_up_to_the_ends(truth: float) -> None:
    """Exactly: the chance of every number of right answers, summed over those whose interval holds the truth."""
    for n in (60, 81, 177, 400):
        outcomes = [x for x in range(n + 1) if stats.binom.pmf(x, n, truth) > 1e-7]
        found = [estimate([1.0] * x + [0.0] * (n - x)) for x in outcomes]
        held = [x for x, one in zip(outcomes, found, strict=True) if one.low <= truth <= one.high]
        assert stats.binom.pmf(held, n, truth).sum() >= 0.93, n


def test_interval_of_clustered_answers_covers_a_truth_near_the_end() -> None:
    """Two problems in a hundred are too hard, and eight answers to each agree: no narrower than of single answers."""
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(400):
        difficulty = np.where(rng.random((60, 1)) < 0.02, 0.1, 1.0)
        found = estimate(mean_at_k(rng.random((60, 8)) < difficulty), resamples=2000)
        hits += found.low <= 0.982 <= found.high
    assert hits / 400 >= 0.93


@pytest.mark.parametrize(("right", "n"), [(60, 60), (59, 60), (0, 20), (1, 300), (390, 400)])
def test_interval_near_the_ends_is_that_of_clopper_and_pearson(right: int, n: int) -> None:
    exact = stats.binomtest(right, n).proportion_ci(0.95, method="exact")
    found = estimate([1.0] * right + [0.0] * (n - right))
    assert [found.low, found.high] == pytest.approx([exact.low, exact.high], abs=1e-4)
    assert [share_of(right, n).low, share_of(right, n).high] == pytest.approx([exact.low, exact.high])


def test_a_problem_that_is_partly_right_counts_as_that_part() -> None:
    whole, partly = estimate([1.0] * 59 + [0.0]), estimate([1.0] * 59 + [0.5])
    assert whole.low < partly.low < estimate([1.0] * 60).low
    assert (partly.mean, partly.high <= 1) == (pytest.approx(59.5 / 60), True)


def test_numbers_that_are_no_rates_keep_the_bootstrap() -> None:
    calls = [2.0] * 59 + [3.0]
    assert (estimate(calls).low, estimate(calls).high) == pytest.approx((2.0, 2 + 3 / 60))


@pytest.mark.parametrize("differing", range(3, 9))
def test_a_difference_of_few_problems_is_found_when_mcnemars_exact_test_finds_it(differing: int) -> None:
    before, after = np.zeros((1, 60)), np.zeros((1, 60))
    after[0, :differing] = 1
    found = crossed_difference(before, after, same_problems=True, same_seeds=True)
    assert (found.low > 0) == (stats.binomtest(differing, differing).pvalue < 0.05)
    lost = crossed_difference(after, before, same_problems=True, same_seeds=True)
    assert (lost.mean, lost.high < 0) == (-found.mean, found.low > 0)


def test_equal_policies_near_the_end_are_seldom_called_different() -> None:
    rng = np.random.default_rng(12)
    found = [
        crossed_difference(*(rng.random((2, 1, 200)) < 0.98).astype(float), same_problems=True, same_seeds=True)
        for _ in range(400)
    ]
    assert sum(x.low > 0 or x.high < 0 for x in found) <= stats.binom.ppf(0.999, 400, 0.05)


def test_seeds_do_not_take_a_rate_beyond_its_ends() -> None:
    found = crossed(np.array([[1.0] * 50, [0.96] * 50, [1.0] * 50]))
    assert found.low < 0.96
    assert found.high == 1.0
    apart = crossed_difference([[0.0] * 9, [0.4] * 9], [[1.0] * 9, [1.0] * 9], same_problems=True, same_seeds=False)
    assert (apart.mean, apart.high) == (pytest.approx(0.8), 1.0)


def test_one_collapsed_seed_of_three_leaves_nearly_everything_possible() -> None:
    found = crossed(np.array([[0.9] * 60, [0.91] * 60, [0.15] * 60]))
    assert (found.low, found.high) == (0.0, 1.0)
    share = share_of(1, 3)
    assert (share.low, share.high) == (pytest.approx(0.0084, abs=1e-4), pytest.approx(0.9057, abs=1e-4))
    assert share_of(0, 3).high == pytest.approx(1 - 0.025 ** (1 / 3))


def test_problems_that_deviate_are_counted() -> None:
    assert deviating([0.0, 1.0] * 30) == pytest.approx(60)
    assert deviating([1.0] * 397 + [0.0] * 3) == pytest.approx(3, rel=0.02)
    assert deviating(np.random.default_rng(13).normal(0, 1, 3000)) == pytest.approx(1000, rel=0.1)
    assert deviating([0.3] * 5) == 0


def test_paired_differences_give_a_narrower_interval_than_two_unpaired_ones() -> None:
    rng = np.random.default_rng(6)
    difficulty = rng.random(200)
    before, after = difficulty * 0.8, difficulty * 0.8 + 0.1 + 0.01 * rng.standard_normal(200)
    paired = crossed_difference([before], [after], same_problems=True, same_seeds=True)
    assert paired.mean == pytest.approx(0.1, abs=0.01)
    assert paired.high - paired.low < 0.1 * (estimate(after).high - estimate(after).low)


def test_values_that_are_all_equal_inside_the_ends_have_an_interval_of_no_width() -> None:
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
