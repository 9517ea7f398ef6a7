"""The nearest text of an archive, against all distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from coevolve.curriculum.bleu import condensed_distance, masked, words
from coevolve.curriculum.neighbours import LEAST_APART, nearest_distances


def bleu_distance(texts: list[str], *, mask_numbers: bool = False) -> NDArray[np.float64]:
    """All distances as a square matrix [B, B]."""
    condensed = condensed_distance(words(texts, mask_numbers=mask_numbers))
    return squareform(condensed, checks=False) if len(texts) > 1 else np.zeros((len(texts), len(texts)))


def by_all_pairs(texts: list[str], archive: list[str], *, mask_numbers: bool = False) -> list[float]:
    """The same from the whole matrix; equal texts at 0, far ones at 1."""
    size = len(archive)
    distance = bleu_distance([*archive, *texts], mask_numbers=mask_numbers)[size:, :size]
    known = {(masked(one) if mask_numbers else one) for one in archive}
    nearest = [0.0 if (masked(one) if mask_numbers else one) in known else 1.0 for one in texts]
    nearest = [min(start, float(row.min(initial=1.0))) for start, row in zip(nearest, distance, strict=True)]
    return [1.0 if one > LEAST_APART - 1e-9 else one for one in nearest]


TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d", "1", "22"]), max_size=9).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=8), st.booleans())
def test_the_nearest_distance_is_that_of_all_pairs(texts: list[str], archive: list[str], mask_numbers: bool) -> None:
    found = nearest_distances(texts, archive, mask_numbers=mask_numbers)
    assert found.tolist() == pytest.approx(by_all_pairs(texts, archive, mask_numbers=mask_numbers), abs=1e-12)


def test_twins_copies_and_strangers() -> None:
    archive = ["take 3 apples from the box on the table", "halve the sum of both numbers"]
    texts = ["take 7 apples from the box on the table", archive[1], "quite another matter altogether", ""]
    twin, copy, stranger, empty = nearest_distances(texts, archive)
    assert 0 < twin < 0.5
    assert (copy, stranger, empty) == (0, 1, 1)
    assert nearest_distances(texts, archive, mask_numbers=True)[0] == 0
    assert nearest_distances(texts, []).tolist() == [1.0] * 4
    assert nearest_distances([], archive).tolist() == []


def test_the_order_of_the_archive_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    archive = [" ".join(f"w{i}" for i in rng.integers(0, 6, 12)) for _ in range(200)]
    texts = [" ".join(f"w{i}" for i in rng.integers(0, 6, 12)) for _ in range(50)]
    forwards = nearest_distances(texts, archive)
    assert forwards.tolist() == nearest_distances(texts, archive[::-1]).tolist()
    assert forwards.tolist() == pytest.approx(by_all_pairs(texts, archive), abs=1e-12)
