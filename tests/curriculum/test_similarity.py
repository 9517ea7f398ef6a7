"""Distances against nltk, clusters and shares against what they must be."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from coevolve.curriculum.similarity import bleu_distance, cluster_shares, clusters, masked

EDGE_CASES = [
    "",
    " ",
    "one",
    "one",
    "one two",
    "two one",
    "one two three",
    "one two three",
    "one two three four",
    "one one one one one one",
    "one one",
    "größe Größe größe 数 数 数 数",
    "é é",  # composed and decomposed forms are different tokens
    "tab\tand\nline\u2003space",
    "the cat sat on the mat",
    "the cat sat on the mat",
    "the cat sat on the mat and the cat slept",
]


def nltk_distance(hypothesis: str, reference: str) -> float:
    smoothing = SmoothingFunction(epsilon=0.1).method1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = sentence_bleu([reference.split()], hypothesis.split(), smoothing_function=smoothing)
    return 1.0 - float(score)


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of 0 to 30 tokens over few words, so that n-grams of all orders match; each fifth a near copy."""
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    for index in range(count):
        words = [f"w{min(int(rank), 40)}" for rank in rng.zipf(1.4, int(rng.integers(0, 31)))]
        if index % 5 == 4:
            words = texts[int(rng.integers(index))].split()
            if words:
                words[int(rng.integers(len(words)))] = f"v{index % 7}"
        texts.append(" ".join(words))
    return texts


def test_distances_are_those_of_nltk_on_all_pairs_of_edge_cases() -> None:
    distance = bleu_distance(EDGE_CASES)
    for i, earlier in enumerate(EDGE_CASES):
        assert distance[i, i] == 0
        for j in range(i + 1, len(EDGE_CASES)):
            assert distance[i, j] == pytest.approx(nltk_distance(earlier, EDGE_CASES[j]), abs=1e-12)
            assert distance[j, i] == distance[i, j]


def test_distances_are_those_of_nltk_on_five_hundred_texts() -> None:
    texts = random_texts(600, seed=0)
    distance = bleu_distance(texts)
    rng = np.random.default_rng(1)
    pairs = {tuple(sorted(map(int, rng.choice(len(texts), 2, replace=False)))) for _ in range(3000)}
    assert len({index for pair in pairs for index in pair}) >= 500
    expected = [nltk_distance(texts[i], texts[j]) for i, j in pairs]
    measured = [distance[i, j] for i, j in pairs]
    np.testing.assert_allclose(measured, expected, atol=1e-12, rtol=0)
    assert 0 < sum(value < 0.5 for value in expected) < len(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab é\n", max_size=12), max_size=6))
def test_distances_are_those_of_nltk_on_any_text(texts: list[str]) -> None:
    distance = bleu_distance(texts)
    assert distance.shape == (len(texts), len(texts))
    for i in range(len(texts)):
        for j in range(i + 1, len(texts)):
            assert distance[i, j] == pytest.approx(nltk_distance(texts[i], texts[j]), abs=1e-12)


def test_masked_numbers_make_templates_equal() -> None:
    assert masked("Add 12 and -3.5 to x1") == "Add # and -#.# to x#"
    texts = ["what is 3 plus 44 today", "what is 71 plus 9 today"]
    assert bleu_distance(texts)[0, 1] > 0.5
    assert bleu_distance(texts, mask_numbers=True)[0, 1] == pytest.approx(0, abs=1e-12)


def test_clusters_merge_by_average_linkage_below_the_threshold_only() -> None:
    # 0 and 1 merge at 0.2; item 2 is at 0.45 and 0.53 from them, on average 0.49; item 3 is far away
    distance = np.array([[0, 0.2, 0.45, 0.9], [0.2, 0, 0.53, 0.9], [0.45, 0.53, 0, 0.9], [0.9, 0.9, 0.9, 0]])
    assert clusters(distance, 0.5).tolist() == [0, 0, 0, 1]
    assert clusters(distance, 0.48).tolist() == [0, 0, 1, 2]
    two = np.array([[0, 0.5], [0.5, 0]])
    assert clusters(two, 0.5).tolist() == [0, 1]
    assert clusters(two, np.nextafter(0.5, 1)).tolist() == [0, 0]


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        clusters(np.zeros((2, 2)), threshold)


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
