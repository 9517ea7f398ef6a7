"""Similarity of the questions in a batch: clusters by BLEU distance and their shares of the batch.

Source: Agent0 (arXiv 2511.16043), repetition penalty.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from coevolve.curriculum.bleu import Array, condensed_distance, words
from coevolve.curriculum.neighbours import LEAST_APART, near_components

Labels = NDArray[np.int64]

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
