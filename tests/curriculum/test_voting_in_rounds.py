"""Voting in rounds: the chance to end inside the gate, against an urn that is drawn from one by one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from coevolve.curriculum.gate import chance_inside


def urn(majority: int, asked: int, k: int, lower: float, upper: float) -> Fraction:
    """Polya's urn: where the rate is uniform, the next answer joins m of n with probability (m + 1) / (n + 2)."""
    if asked == k:
        return Fraction(lower - 1e-9 <= majority / k <= upper + 1e-9)
    joins = Fraction(majority + 1, asked + 2)
    bounds = (k, lower, upper)
    return joins * urn(majority + 1, asked + 1, *bounds) + (1 - joins) * urn(majority, asked + 1, *bounds)


@pytest.mark.parametrize("bounds", [(0.3, 0.8), (0.25, 0.75), (0.5, 0.95), (0.0, 1.0), (0.9, 1.0)])
@pytest.mark.parametrize("k", [8, 10])
def test_the_chance_is_that_of_an_urn(k: int, bounds: tuple[float, float]) -> None:
    for asked in range(k + 1):
        for majority in range(asked + 1):
            exact = urn(majority, asked, k, *bounds)
            assert chance_inside(majority, asked, k, *bounds) == pytest.approx(float(exact), abs=1e-12)


def test_a_whole_vote_is_inside_or_not() -> None:
    assert [round(chance_inside(m, 10, 10, 0.3, 0.8)) for m in (2, 3, 8, 9)] == [0, 1, 1, 0]


def test_what_can_no_longer_enter_has_no_chance() -> None:
    assert chance_inside(9, 9, 10, 0.3, 0.8) == 0
    assert chance_inside(1, 9, 10, 0.3, 0.8) == 0
