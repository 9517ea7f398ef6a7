"""How alike the questions of a batch are: exact sentence BLEU between all pairs, clusters, cluster shares.

Source: Agent0 (arXiv 2511.16043), repetition penalty; the same measure as nltk's sentence BLEU, to rounding.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

MAX_ORDER = 4
EPSILON = 0.1  # count given to an n-gram order without a match (smoothing method 1 of Chen and Cherry, 2014)
ROWS_AT_ONCE = 256  # bounds the temporary arrays to a few ROWS_AT_ONCE x B matrices
_INTEGER = re.compile(r"[0-9]+")


def masked(text: str) -> str:
    """The text with every integer replaced by ``#``: questions that differ in numbers only become equal."""
    return _INTEGER.sub("#", text)


def bleu_distance(texts: Sequence[str], *, mask_numbers: bool = False) -> Array:
    """1 - BLEU between all pairs of texts.

    Sentence BLEU-4 over whitespace tokens with uniform weights, one reference and smoothing method 1
    (epsilon 0.1). BLEU is not symmetric: the earlier text is the hypothesis, the later one the reference,
    and the value is copied to the other side. Texts without a common word are at distance 1.

    Args:
        texts: B texts.
        mask_numbers: compare the texts with every integer replaced by ``#``.

    Returns:
        [B, B], symmetric, zeros on the diagonal.
    """
    tokens = [(masked(text) if mask_numbers else text).split() for text in texts]
    size = len(tokens)
    distance: Array = np.zeros((size, size))
    if size < 2:
        return distance
    lengths: Array = np.array([len(words) for words in tokens], dtype=np.float64)
    counts = [_ngram_matrix(tokens, order) for order in range(1, MAX_ORDER + 1)]
    for start in range(0, size, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, size)
        matches = [(matrix[start:stop] @ matrix[start:].T).toarray().astype(np.float64) for matrix in counts]
        distance[start:stop, start:] = 1.0 - _bleu(matches, lengths[start:stop], lengths[start:])
    distance = np.triu(distance, 1)
    return distance + distance.T


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


def _bleu(matches: Sequence[Array], hypothesis: Array, reference: Array) -> Array:
    """BLEU from the clipped matches per order ([H, R] each) and the lengths of hypotheses [H] and references
    [R]."""
    log_sum: Array = np.zeros_like(matches[0])
    for order, matched in enumerate(matches, start=1):
        possible = np.maximum(hypothesis - order + 1, 1.0)[:, None]
        log_sum += np.log(np.where(matched == 0, EPSILON, matched) / possible)
    length = np.maximum(hypothesis, 1.0)[:, None]  # an empty hypothesis has no match and is zero below
    log_brevity = np.minimum(1.0 - reference[None, :] / length, 0.0)
    return np.where(matches[0] == 0, 0.0, np.exp(log_sum / len(matches)) * np.exp(log_brevity))


def clusters(distance: Array, threshold: float = 0.5) -> Labels:
    """Average-linkage clusters, merging only what is nearer than the threshold.

    Args:
        distance: [B, B], symmetric; the upper triangle is used.
        threshold: in (0, 1]; clusters at exactly this distance stay apart.

    Returns:
        [B] cluster numbers 0, 1, ... in order of first appearance.

    Raises:
        ValueError: the threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must be in (0, 1], not {threshold}")
    if len(distance) < 2:
        return np.zeros(len(distance), dtype=np.int64)
    tree = linkage(squareform(distance, checks=False), method="average")
    labels = fcluster(tree, t=np.nextafter(threshold, 0.0), criterion="distance")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def cluster_shares(texts: Sequence[str], *, threshold: float = 0.5, mask_numbers: bool = False) -> Array:
    """For each text the size of its cluster as a share of the batch, |C_i| / B.

    Equal texts (equal after masking, when numbers are masked) always share a cluster. BLEU alone does not
    see to that: a text of two tokens scores 0.32 against itself.

    Returns:
        [B], each in [1/B, 1].

    Raises:
        ValueError: the threshold is out of range.
    """
    distance = bleu_distance(texts, mask_numbers=mask_numbers)
    keys = [" ".join((masked(text) if mask_numbers else text).split()) for text in texts]
    _, identity = np.unique(np.array(keys, dtype=object), return_inverse=True) if keys else (None, np.zeros(0, int))
    distance[identity[:, None] == identity[None, :]] = 0.0
    labels = clusters(distance, threshold)
    return np.bincount(labels)[labels] / max(len(texts), 1)
