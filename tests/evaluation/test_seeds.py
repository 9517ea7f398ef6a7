"""Intervals over seeds and problems: against Student's table, against each other, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from coevolve.statistics import Estimate, crossed, crossed_difference, estimate, over_seeds

Table = NDArray[np.float64]


def simulated(rng: np.random.Generator, *, seeds: int, problems: int, spread: tuple[float, float, float]) -> Table:
    """[seeds, problems] around 0: scatter of seeds, of problems, and of each answer."""
    of_seed, of_problem, of_answer = spread
    return (
        rng.normal(0, of_seed, (seeds, 1))
        + rng.normal(0, of_problem, (1, problems))
        + rng.normal(0, of_answer, (seeds, problems))
    )


def width(found: Estimate) -> float:
    return found.high - found.low


def test_the_interval_over_seeds_is_that_of_students_table() -> None:
    two, three = over_seeds([0.4, 0.6]), over_seeds([1.0, 2.0, 3.0])
    assert two.mean == pytest.approx(0.5)
    assert width(two) / 2 == pytest.approx(12.7062 * 0.1, rel=1e-5)  # one degree of freedom; s / sqrt(2) = 0.1
    assert width(three) / 2 == pytest.approx(4.30265 / 3**0.5, rel=1e-5)
    five = [1, 2, 4, 8, 9]
    oracle = stats.t.interval(0.95, 4, np.mean(five), stats.sem(five))
    assert (over_seeds(five).low, over_seeds(five).high) == pytest.approx(oracle)


def test_one_seed_says_nothing_about_scatter_and_none_nothing_at_all() -> None:
    one = over_seeds([0.4])
    assert (one.mean, one.n) == (0.4, 1)
    assert np.isnan([one.low, one.high]).all()
    assert np.isnan(over_seeds([]).mean)


def test_one_seed_leaves_the_interval_over_problems() -> None:
    values = np.random.default_rng(1).integers(0, 9, 80) / 8
    assert crossed([values]) == estimate(values)


def test_seeds_that_agree_leave_the_interval_over_problems() -> None:
    values = np.random.default_rng(2).integers(0, 9, 80) / 8
    one, three = estimate(values), crossed([values] * 3)
    assert [three.mean, three.low, three.high] == pytest.approx([one.mean, one.low, one.high])


def test_problems_that_agree_leave_students_interval_over_seeds() -> None:
    seeds = [0.3, 0.42, 0.5, 0.44]
    found, oracle = crossed(np.repeat(np.array(seeds)[:, None], 50, axis=1)), over_seeds(seeds)
    assert [found.low, found.high] == pytest.approx([oracle.low, oracle.high], rel=2e-3)


def test_the_two_parts_add_up_like_independent_deviations() -> None:
    """With many seeds and problems both parts are normal, and squares of half widths add up."""
    values = simulated(np.random.default_rng(3), seeds=60, problems=400, spread=(0.1, 0.5, 0.0))
    by_problem = 1.96 * values.mean(axis=0).std(ddof=1) / 20
    by_seed = 2.0010 * values.mean(axis=1).std(ddof=1) / 60**0.5  # t of 59 degrees of freedom
    assert width(crossed(values)) / 2 == pytest.approx(np.hypot(by_problem, by_seed), rel=0.05)


@pytest.mark.parametrize("spread", [(0.05, 0.3, 0.2), (0.05, 0.05, 0.2), (0.05, 0.0, 0.2), (0.0, 0.3, 0.2)])
def test_three_seeds_cover_the_truth_at_least_as_often_as_they_say(spread: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(4)
    found = [crossed(simulated(rng, seeds=3, problems=60, spread=spread), resamples=2000) for _ in range(250)]
    hits = sum(x.low <= 0 <= x.high for x in found)
    assert hits >= stats.binom.ppf(0.001, 250, 0.95)


def test_seeds_drawn_with_replacement_would_not_cover_it() -> None:
    """Why the seeds' part is Student's t: the plain bootstrap over three seeds is far from its 95 %."""
    rng = np.random.default_rng(5)
    plain = ours = 0
    for _ in range(300):
        values = simulated(rng, seeds=3, problems=60, spread=(0.1, 0.05, 0.1))
        means = values.mean(axis=1)
        low, high = np.quantile(means[rng.integers(0, 3, (1000, 3))].mean(axis=1), [0.025, 0.975])
        plain += low <= 0 <= high
        found = crossed(values, resamples=1000)
        ours += found.low <= 0 <= found.high
    assert plain / 300 < 0.85
    assert ours / 300 > 0.93


def test_pairs_make_the_interval_of_a_difference_narrower_where_runs_go_together() -> None:
    rng = np.random.default_rng(6)
    first = simulated(rng, seeds=4, problems=100, spread=(0.1, 0.3, 0.05))
    second = first + 0.02 + rng.normal(0, 0.05, first.shape)
    kinds = {
        (p, s): width(crossed_difference(first, second, same_problems=p, same_seeds=s))
        for p in (True, False)
        for s in (True, False)
    }
    assert kinds[True, True] < 0.5 * min(kinds[True, False], kinds[False, True])
    assert kinds[False, False] > max(kinds[True, False], kinds[False, True])
    found = crossed_difference(first, second, same_problems=True, same_seeds=True)
    assert found.mean == pytest.approx((second - first).mean())
    assert found.low < 0.02 < found.high


def test_a_paired_difference_is_the_interval_of_the_differences() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.random((3, 40)), rng.random((3, 40))
    found = crossed_difference(first, second, same_problems=True, same_seeds=True)
    assert [found.low, found.high] == pytest.approx([crossed(second - first).low, crossed(second - first).high])


def test_unpaired_seeds_of_equal_scatter_widen_the_difference_by_the_root_of_two() -> None:
    rng = np.random.default_rng(8)
    seeds = rng.normal(0, 0.1, 50)
    one, other = (np.repeat(x[:, None], 5, axis=1) for x in (seeds, rng.permutation(seeds)))
    found = crossed_difference(one, other, same_problems=False, same_seeds=False)
    assert width(found) == pytest.approx(2**0.5 * width(over_seeds(seeds)), rel=0.05)


def test_equal_runs_do_not_differ() -> None:
    values = np.random.default_rng(9).random((3, 30))
    found = crossed_difference(values, values, same_problems=True, same_seeds=True)
    assert (found.mean, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("effect", [0.0, 0.1])
def test_a_paired_difference_covers_its_truth_at_least_as_often_as_it_says(effect: float) -> None:
    rng = np.random.default_rng(10)
    hits = 0
    for _ in range(300):
        problems = rng.normal(0, 0.3, (1, 60))
        first = problems + simulated(rng, seeds=3, problems=60, spread=(0.03, 0.1, 0.2))
        second = problems + effect + simulated(rng, seeds=3, problems=60, spread=(0.03, 0.1, 0.2))
        found = crossed_difference(first, second, same_problems=True, same_seeds=True, resamples=2000)
        hits += found.low <= effect <= found.high
    assert hits >= stats.binom.ppf(0.001, 300, 0.95)


def test_a_single_seed_that_is_not_paired_leaves_the_interval_over_problems() -> None:
    rng = np.random.default_rng(11)
    one, three = rng.random((1, 40)), rng.random((3, 40)) + np.array([[0], [1], [2]])
    found = crossed_difference(one, three, same_problems=True, same_seeds=False)
    oracle = estimate(three.mean(axis=0) - one[0])
    assert [found.low, found.high] == pytest.approx([oracle.low, oracle.high])


def test_equal_data_give_equal_intervals() -> None:
    values = np.random.default_rng(12).random((3, 30))
    assert crossed(values) == crossed(values.copy())


def test_arrays_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        crossed_difference(np.ones((2, 3)), np.ones((2, 4)), same_problems=True, same_seeds=True)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        crossed([1.0, 2.0, 3.0])


def test_no_problems_give_no_interval() -> None:
    assert np.isnan(crossed(np.empty((3, 0))).mean)
    assert np.isnan(crossed_difference(np.empty((3, 0)), np.ones((3, 2)), same_problems=False, same_seeds=True).mean)
