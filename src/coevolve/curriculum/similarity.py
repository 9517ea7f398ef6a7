"""Similarity of the questions in a batch: clusters by BLEU distance and their shares of the batch; and to those before.

Source: Agent0 (arXiv 2511.16043), repetition penalty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from coevolve.curriculum.bleu import Array, bleu, condensed_distance, ngram_matrices, words
from coevolve.curriculum.neighbours import LEAST_APART, near_components

Labels = NDArray[np.int64]

_PAIRS_AT_ONCE = 1 << 20  # bounds the temporary arrays to tens of MB
SPARSE_ABOVE = 8192  # texts: more would need over a gigabyte for their distances (benchmarks/bleu.py)


def dense_clusters(texts: Sequence[str], *, threshold: float = 0.5, mask_numbers: bool = False) -> Labels:
    """Average-linkage clusters over all BLEU distances, equal texts at distance 0.

    Memory grows with 8 B^2 bytes (two arrays of the distances above the diagonal).

    Args:
        texts: B texts.
        threshold: clusters at exactly this distance stay apart, in (0, 1].
        mask_numbers: compare the texts with every integer replaced by ``#``.

    Returns:
        [B] cluster numbers 0, 1, ... in order of first appearance.

    Raises:
        ValueError: the threshold is out of range.
    """
    _check(threshold, 1.0)
    return _of_tokens(words(texts, mask_numbers=mask_numbers), threshold)


def sparse_clusters(texts: Sequence[str], *, threshold: float = 0.5, mask_numbers: bool = False) -> Labels:
    """The clusters of ``dense_clusters`` without all distances at once.

    Average linkage merges two clusters only if some pair between them is nearer than the threshold, so it never
    leaves a connected component of the pairs that are. The pairs come from shared bigrams; each component is clustered
    alone. Where distances tie exactly the order of merging may differ from that of the whole batch, and with it the
    clusters. Memory grows with B and with the square of the largest component.

    Args:
        texts: B texts.
        threshold: as in ``dense_clusters``, at most LEAST_APART.
        mask_numbers: as in ``dense_clusters``.

    Returns:
        [B] cluster numbers 0, 1, ... in order of first appearance.

    Raises:
        ValueError: the threshold is not in (0, LEAST_APART]; pairs without a shared bigram could be nearer.
    """
    _check(threshold, LEAST_APART)
    tokens = words(texts, mask_numbers=mask_numbers)
    components = near_components(tokens, threshold)
    order = np.argsort(components, kind="stable")  # by component, within it as in the batch
    labels: Labels = np.zeros(len(tokens), dtype=np.int64)
    taken = 0
    for members in np.split(order, np.flatnonzero(np.diff(components[order])) + 1):
        if len(members) > 1:
            labels[members] = _of_tokens([tokens[i] for i in members], threshold)
        labels[members] += taken
        taken += len(members)
    return _in_order(labels)


def _check(threshold: float, most: float) -> None:
    if not 0 < threshold <= most:
        raise ValueError(f"the threshold must be in (0, {most:g}], not {threshold}")


def _in_order(labels: Labels) -> Labels:
    """Renumbered 0, 1, ... in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _of_tokens(tokens: Sequence[Sequence[str]], threshold: float) -> Labels:
    """Clusters by BLEU, equal texts at distance 0: BLEU alone puts two equal texts of two tokens at 0.68."""
    size = len(tokens)
    distance = condensed_distance(tokens)
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, one in enumerate(tokens):
        groups.setdefault(tuple(one), []).append(number)
    for equal in groups.values():
        later = np.array(equal)
        for first in equal[:-1]:
            later = later[1:]
            distance[size * first - first * (first + 1) // 2 + later - first - 1] = 0.0
    return cut_tree(distance, size, threshold)


def cut_tree(condensed: Array, size: int, threshold: float) -> Labels:
    """Average-linkage clusters: the tree, cut just below the threshold.

    Args:
        condensed: [size (size - 1) / 2] distances above the diagonal, row by row.
        size: number of items.
        threshold: clusters at exactly this distance stay apart.

    Returns:
        [size] cluster numbers 0, 1, ... in order of first appearance.
    """
    if size < 2:
        return np.zeros(size, dtype=np.int64)
    tree = linkage(condensed, method="average")
    return _in_order(fcluster(tree, t=np.nextafter(threshold, 0.0), criterion="distance"))


def memory_similarities(
    texts: Sequence[str], memory: Sequence[str], *, mask_numbers: bool = False
) -> tuple[Array, Array]:
    """How near each text is to the texts before it: the largest BLEU with one of them, and the mean with all.

    The earlier text is the hypothesis; equal texts (equal after masking, when numbers are masked) are at 1.

    Args:
        texts: N texts.
        memory: earlier ones, repeats included; may be empty.
        mask_numbers: compare the texts with every integer replaced by ``#``.

    Returns:
        [N] the largest and [N] the mean, in [0, 1]; 0 where there are no earlier texts.

    Source: the two terms of the memory penalty of R-Diverse (arXiv 2602.13103), there between embeddings.
    """
    new = words(texts, mask_numbers=mask_numbers)
    counted = Counter(map(tuple, words(memory, mask_numbers=mask_numbers)))
    largest, mean = np.zeros(len(new)), np.zeros(len(new))
    if not new or not counted:
        return largest, mean
    old = list(counted)
    weights: Array = np.array([counted[one] for one in old], dtype=np.float64) / counted.total()
    place = {one: number for number, one in enumerate(old)}
    orders = ngram_matrices([*old, *new])
    h, r = (np.array([len(one) for one in some], dtype=np.float64) for some in (old, new))
    many = max(1, _PAIRS_AT_ONCE // len(old))
    for start in range(0, len(new), many):
        rows = slice(start, start + many)
        later = slice(len(old) + start, len(old) + start + many)
        matches = [(order[later] @ order[: len(old)].T).toarray().astype(np.float64) for order in orders]
        near = bleu(matches, h[None, :], r[rows, None])
        for row, one in enumerate(new[rows]):
            if tuple(one) in place:
                near[row, place[tuple(one)]] = 1.0
        largest[rows], mean[rows] = near.max(axis=1), near @ weights
    return largest, mean


def shape_shares(shapes: Sequence[str | None], memory: Sequence[str | None]) -> Array:
    """For each program's shape its share of all, those of this batch and those before it.

    Args:
        shapes: of B questions; None where there is no program, whose share is 0 and which counts in no other.
        memory: of earlier questions.

    Returns:
        [B], in [0, 1].
    """
    counts = Counter(shape for shape in (*shapes, *memory) if shape is not None)
    total = max(counts.total(), 1)
    return np.array([0.0 if shape is None else counts[shape] / total for shape in shapes], dtype=np.float64)


def cluster_shares(texts: Sequence[str], *, threshold: float = 0.5, mask_numbers: bool = False) -> Array:
    """For each text the size of its cluster as a share of the batch, |C_i| / B.

    Equal texts (equal after masking, when numbers are masked) always share a cluster. Batches of more than
    SPARSE_ABOVE texts are clustered by ``sparse_clusters``.

    Args:
        texts: B texts.
        threshold: as in ``dense_clusters``.
        mask_numbers: as in ``dense_clusters``.

    Returns:
        [B], each in [1/B, 1].

    Raises:
        ValueError: the threshold is out of range.
    """
    if len(texts) > SPARSE_ABOVE and 0 < threshold <= LEAST_APART:
        labels = sparse_clusters(texts, threshold=threshold, mask_numbers=mask_numbers)
    else:
        labels = dense_clusters(texts, threshold=threshold, mask_numbers=mask_numbers)
    return np.bincount(labels)[labels] / max(len(texts), 1)
