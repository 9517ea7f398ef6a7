"""Distances against nltk, pair by pair."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from coevolve.curriculum.bleu import condensed_distance, masked, words

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


def bleu_distance(texts: list[str], *, mask_numbers: bool = False) -> NDArray[np.float64]:
    """All distances as a square matrix [B, B]."""
    condensed = condensed_distance(words(texts, mask_numbers=mask_numbers))
    return squareform(condensed, checks=False) if len(texts) > 1 else np.zeros((len(texts), len(texts)))


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
    texts[::50] = ["größer 数 数 é e\u0301 " * (index % 3) for index in range(len(texts[::50]))]
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
    assert len(set(texts)) < len(texts)
    assert {0, 1, 2, 3} <= {len(text.split()) for text in texts}
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
