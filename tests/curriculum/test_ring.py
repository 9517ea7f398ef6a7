"""The buffer of Absolute Zero, and its rewards."""

from __future__ import annotations

import numpy as np
import pytest

from coevolve.curriculum.learnability import r_propose, r_solve
from coevolve.curriculum.ring import Ring


def test_a_full_ring_keeps_the_newest() -> None:
    ring = Ring[int](3, key=lambda n: n)
    assert ring.add(range(5)) == [0, 1, 2, 3, 4]
    assert ring.held == [2, 3, 4]


def test_what_is_held_is_not_taken_in_again() -> None:
    ring = Ring[str](3, key=str.casefold)
    ring.add(["a", "b"])
    assert ring.add(["A", "c", "C"]) == ["c"]
    assert ring.held == ["a", "b", "c"]
    assert "B" in ring


def test_drawing_is_uniform_and_without_replacement() -> None:
    ring = Ring[int](10, key=lambda n: n)
    ring.add(range(10))
    rng = np.random.default_rng(0)
    draws = [ring.drawn(4, rng) for _ in range(2000)]
    assert all(len(set(draw)) == 4 for draw in draws)
    counts = np.bincount([n for draw in draws for n in draw], minlength=10)
    assert np.abs(counts / 2000 - 0.4).max() < 0.05  # four standard deviations and more
    assert sorted(ring.drawn(99, rng)) == list(range(10))


@pytest.mark.parametrize(("solved", "reward"), [(0.0, 0.0), (0.125, 0.875), (0.5, 0.5), (0.875, 0.125), (1.0, 0.0)])
def test_a_task_earns_the_share_of_answers_that_are_wrong_unless_all_are_alike(solved: float, reward: float) -> None:
    assert r_propose(solved) == reward
    assert r_propose(solved, unlearnable=-0.5) == (reward if 0 < solved < 1 else -0.5)


def test_an_answer_earns_one_or_loses_by_how_it_fails() -> None:
    assert r_solve(well_formed=True, right=True) == 1.0
    assert r_solve(well_formed=True, right=False) == -0.5
    assert r_solve(well_formed=False, right=False) == -1.0
