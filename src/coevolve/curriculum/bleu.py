"""Exact sentence BLEU between texts.

Source: Agent0 (arXiv 2511.16043), repetition penalty; the same measure as nltk's sentence BLEU, to rounding.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]

MAX_ORDER = 4
EPSILON = 0.1  # count given to an n-gram order without a match (smoothing method 1 of Chen and Cherry, 2014)
ROWS_AT_ONCE = 256  # bounds the temporary arrays to a few ROWS_AT_ONCE x B matrices
_INTEGER = re.compile(r"[0-9]+")


def masked(text: str) -> str:
    """The text with every integer replaced by ``#``: questions that differ in numbers only become equal."""
    return _INTEGER.sub("#", text)


def condensed_distance(tokens: Sequence[Sequence[str]]) -> Array:
    """1 - BLEU between all pairs of texts, as scipy's condensed distances.

    Sentence BLEU-4 with uniform weights, one reference and smoothing method 1 (epsilon 0.1). BLEU is not symmetric: the
    earlier text is the hypothesis, the later one the reference. Texts without a common word are at distance 1.

    Args:
        tokens: B texts as tokens, for example from :func:`words`.

    Returns:
        [B (B - 1) / 2], the upper triangle row by row; ``scipy.spatial.distance.squareform`` makes it [B, B].
    """
    size = len(tokens)
    distance: Array = np.empty(size * (size - 1) // 2)
    lengths: Array = np.array([len(one) for one in tokens], dtype=np.float64)
    counts = ngram_matrices(tokens)
    filled = 0
    for start in range(0, size, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, size)
        matches = [(matrix[start:stop] @ matrix[start:].T).toarray().astype(np.float64) for matrix in counts]
        block = 1.0 - bleu(matches, lengths[start:stop, None], lengths[None, start:])
        for number, row in enumerate(block):
            after = row[number + 1 :]
            distance[filled : filled + len(after)] = after
            filled += len(after)
    return distance


def words(texts: Sequence[str], *, mask_numbers: bool = False) -> list[list[str]]:
    """The whitespace tokens of each text."""
    return [(masked(text) if mask_numbers else text).split() for text in texts]


def ngram_matrices(tokens: Sequence[Sequence[str]]) -> list[sparse.csr_array]:
    """One matrix per order 1 to MAX_ORDER whose products of rows are BLEU's clipped matches."""
    return [_ngram_matrix(tokens, order) for order in range(1, MAX_ORDER + 1)]


def _ngram_matrix(tokens: Sequence[Sequence[str]], order: int) -> sparse.csr_array:
    """[B, C] zeros and ones with one column per (n-gram, occurrence number).

    The i-th occurrence of an n-gram is a column of its own, so the product of two rows is the sum over
    n-grams of the smaller of their two counts: BLEU's clipped matches. A column that only one row has
    matches nothing and is dropped.
    """
    columns: dict[tuple[tuple[str, ...], int], int] = {}
    row_of: list[int] = []
    column_of: list[int] = []
    for row, words in enumerate(tokens):
        seen: Counter[tuple[str, ...]] = Counter()
        for ngram in zip(*(words[shift:] for shift in range(order)), strict=False):
            seen[ngram] += 1
            row_of.append(row)
            column_of.append(columns.setdefault((ngram, seen[ngram]), len(columns)))
    used = np.array(column_of, dtype=np.int64)
    shared = np.bincount(used, minlength=len(columns)) > 1
    keep = shared[used]
    position = np.cumsum(shared) - 1
    entries = (
        np.ones(int(keep.sum()), dtype=np.int32),
        (np.array(row_of, dtype=np.int64)[keep], position[used[keep]]),
    )
    return sparse.csr_array(entries, shape=(len(tokens), int(shared.sum())))


def bleu(matches: Sequence[Array], hypothesis: Array, reference: Array) -> Array:
    """BLEU of many pairs.

    Args:
        matches: clipped matches per order; one array of any shape for each.
        hypothesis: lengths of the hypotheses in tokens; has the shape of ``matches``, or is broadcast to it.
        reference: lengths of the references, likewise.

    Returns:
        As ``matches``, in [0, 1].
    """
    log_sum: Array = np.zeros_like(matches[0])
    for order, matched in enumerate(matches, start=1):
        possible = np.maximum(hypothesis - order + 1, 1.0)
        log_sum += np.log(np.where(matched == 0, EPSILON, matched) / possible)
    length = np.maximum(hypothesis, 1.0)  # an empty hypothesis has no match and is zero below
    log_brevity = np.minimum(1.0 - reference / length, 0.0)
    return np.where(matches[0] == 0, 0.0, np.exp(log_sum / len(matches)) * np.exp(log_brevity))
