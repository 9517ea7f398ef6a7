"""The utility of a problem against its closed form."""

import math

import pytest

from coevolve.curriculum.utility import gaussian_utility


def test_the_utility_is_largest_at_the_peak_symmetric_and_known_one_width_away() -> None:
    values = gaussian_utility([0.5, 0.3, 0.7, 0.0, 1.0])
    assert values[0] == 1.0
    assert values[1:3] == pytest.approx([math.exp(-0.5)] * 2)
    assert values[3:] == pytest.approx([math.exp(-3.125)] * 2)


def test_peak_and_width_are_keys() -> None:
    assert gaussian_utility(0.9, peak=0.7, width=0.1) == pytest.approx(math.exp(-2.0))
