"""Clusters and shares against what they must be, of small batches and of large ones."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from coevolve.curriculum.bleu import condensed_distance, words
from coevolve.curriculum.neighbours import LEAST_APART, near_components
from coevolve.curriculum.similarity import (
    SPARSE_ABOVE,
    cluster_shares,
    cut_tree,
    dense_clusters,
    memory_similarities,
    shape_shares,
    sparse_clusters,
)


def bleu_distance(texts: list[str], *, mask_numbers: bool = False) -> NDArray[np.float64]:
    """All distances as a square matrix [B, B]."""
    condensed = condensed_distance(words(texts, mask_numbers=mask_numbers))
    return squareform(condensed, checks=False) if len(texts) > 1 else np.zeros((len(texts), len(texts)))


def test_clusters_merge_by_average_linkage_below_the_threshold_only() -> None:
    # 0 and 1 merge at 0.2; item 2 is at 0.45 and 0.53 from them, on average 0.49; item 3 is far away
    distance = np.array([0.2, 0.45, 0.9, 0.53, 0.9, 0.9])  # of 0-1, 0-2, 0-3, 1-2, 1-3, 2-3
    assert cut_tree(distance, 4, 0.5).tolist() == [0, 0, 0, 1]
    assert cut_tree(distance, 4, 0.48).tolist() == [0, 0, 1, 2]
    two = np.array([0.5])
    assert cut_tree(two, 2, 0.5).tolist() == [0, 1]
    assert cut_tree(two, 2, np.nextafter(0.5, 1)).tolist() == [0, 0]


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        dense_clusters(["one text", "another"], threshold=threshold)


@pytest.mark.parametrize("text", ["a much longer question than four words", "two words", "one", ""])
@pytest.mark.parametrize("mask_numbers", [False, True])
def test_an_identical_batch_is_one_cluster(text: str, mask_numbers: bool) -> None:
    assert cluster_shares([text] * 7, mask_numbers=mask_numbers).tolist() == [1.0] * 7


def test_short_duplicates_share_a_cluster_and_others_stay_alone() -> None:
    shares = cluster_shares(["why", "sum 1 2", "how", "why", "sum 3 4"])
    assert shares.tolist() == [0.4, 0.2, 0.2, 0.4, 0.2]
    shares = cluster_shares(["why", "sum 1 2", "how", "why", "sum 3 4"], mask_numbers=True)
    assert shares.tolist() == [0.4, 0.4, 0.2, 0.4, 0.4]


@pytest.mark.parametrize(("texts", "shares"), [([], []), (["alone"], [1.0])])
def test_batches_of_none_and_one(texts: list[str], shares: list[float]) -> None:
    assert cluster_shares(texts).tolist() == shares


def questions(count: int, seed: int) -> list[str]:
    """Texts of one of a few templates each, some words replaced by words that no other text has."""
    rng = np.random.default_rng(seed)
    templates = [[f"t{number}w{place}" for place in range(int(rng.integers(6, 30)))] for number in range(6)]
    texts = []
    for number in range(count):
        words = list(templates[int(rng.integers(len(templates)))])
        for place in rng.choice(len(words), int(rng.integers(1, 1 + len(words) // 3)), replace=False):
            words[int(place)] = f"own{number}-{place}"
        texts.append(" ".join([*words, *(f"end{number}-{i}" for i in range(int(rng.integers(0, 5))))]))
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.65, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_the_sparse_clusters_are_the_dense_ones_where_nothing_ties(seed: int, threshold: float) -> None:
    texts = untied(questions(80, seed))
    assert len(texts) > 20
    dense = dense_clusters(texts, threshold=threshold)
    assert sparse_clusters(texts, threshold=threshold).tolist() == dense.tolist()
    assert 1 < dense.max() + 1 < len(texts)


def untied(texts: list[str]) -> list[str]:
    """The texts of which no two pairs are equally far apart, unless they are too far to matter."""
    kept: list[str] = []
    for text in texts:
        distance = bleu_distance([*kept, text])
        near = distance[np.triu_indices(len(kept) + 1, 1)]
        near = np.sort(near[near < LEAST_APART])
        if not len(near) or np.diff(near, prepend=-1).min() > 1e-6:
            kept.append(text)
    return kept


def test_every_near_pair_is_in_one_component() -> None:
    texts = questions(150, seed=9)
    distance = bleu_distance(texts)
    for threshold in (0.1, 0.5, LEAST_APART):
        components = near_components([text.split() for text in texts], threshold)
        for i, j in combinations(range(len(texts)), 2):
            assert distance[i, j] >= threshold or components[i] == components[j]
    assert len(set(components.tolist())) > 1


def test_short_and_empty_texts_cluster_alike_in_large_batches() -> None:
    texts = ["", "why", "sum 1 2", "why", "", " ", "one two", "two one", "one two", "sum 3 4 5 6", "sum 3 4 5 6 7"]
    for mask_numbers in (False, True):
        sparse = sparse_clusters(texts, mask_numbers=mask_numbers)
        assert (np.bincount(sparse)[sparse] / len(texts)).tolist() == pytest.approx(
            cluster_shares(texts, mask_numbers=mask_numbers).tolist()
        )
    assert sparse_clusters([]).tolist() == []
    assert sparse_clusters(["alone"]).tolist() == [0]


def test_a_threshold_that_pairs_without_a_shared_bigram_could_reach_is_refused_by_the_sparse_clusters() -> None:
    assert bleu_distance(["w", "w"])[0, 1] == pytest.approx(LEAST_APART)
    with pytest.raises(ValueError, match="threshold"):
        sparse_clusters(["w", "w"], threshold=0.9)


def test_a_large_batch_has_the_shares_of_a_small_one() -> None:
    texts = ["the very same question every time", "a short one", *(f"lonely number{i}" for i in range(SPARSE_ABOVE))]
    shares = cluster_shares([*texts, texts[0]])
    assert shares[[0, -1]].tolist() == pytest.approx([2 / len(shares)] * 2)
    assert shares[1:-1].max() == pytest.approx(1 / len(shares))


def test_nearness_to_earlier_texts_is_their_largest_and_their_mean_bleu() -> None:
    memory = ["What is the sum of 3 and 4?", "How many pens are left?", "What is the sum of 3 and 4?", "two words"]
    texts = ["What is the sum of 8 and 9?", "two words", "Nothing in common here"]
    largest, mean = memory_similarities(texts, memory)
    for n, text in enumerate(texts):
        bleu = [1.0 if text == old else 1.0 - bleu_distance([old, text])[0, 1] for old in memory]
        assert largest[n] == pytest.approx(max(bleu))
        assert mean[n] == pytest.approx(sum(bleu) / 4)
    masked, _ = memory_similarities(texts, memory, mask_numbers=True)
    assert masked.tolist() == [1.0, 1.0, 0.0]


def test_without_earlier_texts_nothing_is_near() -> None:
    assert [x.tolist() for x in memory_similarities(["a text"], [])] == [[0.0], [0.0]]
    assert [x.tolist() for x in memory_similarities([], ["a text"])] == [[], []]


def test_blocks_of_a_long_memory_are_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{n} of {n % 7} and {n % 3} things" for n in range(40)]
    whole = memory_similarities(texts[:11], texts[11:])
    monkeypatch.setattr("coevolve.curriculum.similarity._PAIRS_AT_ONCE", 3 * 29)
    for one, other in zip(whole, memory_similarities(texts[:11], texts[11:]), strict=True):
        np.testing.assert_allclose(one, other)


def test_a_shape_counts_in_the_batch_and_before_it() -> None:
    assert shape_shares(["a", "b", None], ["a", "a", None, "c"]).tolist() == [0.6, 0.2, 0.0]
    assert shape_shares([None], []).tolist() == [0.0]
