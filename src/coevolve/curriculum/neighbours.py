"""Near pairs among many texts without computing all distances: only pairs that share a bigram are considered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from coevolve.curriculum.bleu import EPSILON, Array, bleu, ngram_matrices, words

Index = NDArray[np.int64]

# Without a shared bigram BLEU is at most (1 * 0.1 * 0.1 * 0.1) ** (1/4): the minimum distance of such pairs.
LEAST_APART = 1.0 - EPSILON**0.75
_PAIRS_AT_ONCE = 1 << 18  # bounds the temporary arrays to tens of MB
_ROUNDING = 1e-9  # bounds and distances are computed in different orders


@dataclass(frozen=True, slots=True)
class _Counts:
    """The n-grams of texts: one matrix per order, and lengths in tokens."""

    orders: Sequence[sparse.csr_array]
    lengths: Array

    @staticmethod
    def of(tokens: Sequence[Sequence[str]]) -> _Counts:
        return _Counts(ngram_matrices(tokens), np.array([len(one) for one in tokens], dtype=np.float64))

    def bound(self, hypothesis: Index, reference: Index, bigrams: Array) -> Array:
        """An upper bound of the BLEU of pairs with this many shared bigrams: a shared longer n-gram implies a shared
        bigram.
        """
        h, r = self.lengths[hypothesis], self.lengths[reference]
        return bleu([np.minimum(h, r), bigrams, np.minimum(bigrams, h - 2), np.minimum(bigrams, h - 3).clip(0)], h, r)

    def bleu(self, hypothesis: Index, reference: Index) -> Array:
        """The BLEU of pairs, exactly."""
        parts = [
            bleu(
                [self._shared(order, hypothesis[at], reference[at]) for order in self.orders],
                self.lengths[hypothesis[at]],
                self.lengths[reference[at]],
            )
            for at in _slices(len(hypothesis), _PAIRS_AT_ONCE // 8)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    @staticmethod
    def _shared(order: sparse.csr_array, first: Index, second: Index) -> Array:
        return np.asarray(order[first].multiply(order[second]).sum(axis=1), dtype=np.float64).ravel()


def near_components(tokens: Sequence[Sequence[str]], threshold: float) -> Index:
    """Connected components of the graph that joins texts nearer than the threshold, and equal texts.

    Args:
        tokens: B texts as tokens; of a pair the earlier one is the hypothesis.
        threshold: at most LEAST_APART.

    Returns:
        [B] component numbers.
    """
    size = len(tokens)
    components = _numbered(tuple(one) for one in tokens)
    counts = _Counts.of(tokens)
    for earlier, later, bigrams in _sharing(counts.orders[1], np.arange(size), np.arange(size), upper=True):
        possible = counts.bound(earlier, later, bigrams) > 1.0 - threshold - _ROUNDING
        possible &= components[earlier] != components[later]  # what is joined already needs no distance
        earlier, later = earlier[possible], later[possible]
        near = counts.bleu(earlier, later) > 1.0 - threshold - _ROUNDING
        edges = (np.ones(int(near.sum()), dtype=np.int8), (components[earlier[near]], components[later[near]]))
        _, joined = connected_components(sparse.csr_array(edges, shape=(size, size)), directed=False)
        components = joined[components].astype(np.int64)
    return components


def nearest_distances(texts: Sequence[str], archive: Sequence[str], *, mask_numbers: bool = False) -> Array:
    """For each text its distance 1 - BLEU to the nearest text of an archive.

    The archive's text is the hypothesis, as the earlier one of two always is. Equal texts are at distance 0. Distances
    of LEAST_APART and more count as 1: pairs without a shared bigram, which are that far apart, are not looked at.

    Args:
        texts: N texts.
        archive: may be empty.
        mask_numbers: compare the texts with every integer replaced by ``#``.

    Returns:
        [N], in [0, 1].
    """
    old = sorted({tuple(one) for one in words(archive, mask_numbers=mask_numbers)})
    new = words(texts, mask_numbers=mask_numbers)
    known = set(old)
    distance: Array = np.array([0.0 if tuple(one) in known else 1.0 for one in new], dtype=np.float64)
    unknown = np.flatnonzero(distance)
    counts = _Counts.of([*old, *new])
    rows, columns = unknown + len(old), np.arange(len(old))
    for row, column, bigrams in _sharing(counts.orders[1], rows, columns, upper=False):
        bound = counts.bound(column, row, bigrams)
        # The most promising pair of each row first; only what could be nearer still is looked at after it.
        begins = np.flatnonzero(np.diff(row, prepend=-1))
        best = np.maximum.reduceat(bound, begins)
        promising = bound == np.repeat(best, np.diff(np.append(begins, len(row))))
        for chosen in (promising, None):
            if chosen is None:
                chosen = ~promising & (bound > 1.0 - distance[row - len(old)] - _ROUNDING)
            found = 1.0 - counts.bleu(column[chosen], row[chosen])
            np.minimum.at(distance, row[chosen] - len(old), found)
    return np.where(distance > LEAST_APART - _ROUNDING, 1.0, distance.clip(0.0))


def _sharing(
    bigrams: sparse.csr_array, rows: Index, columns: Index, *, upper: bool
) -> Iterator[tuple[Index, Index, Array]]:
    """Pairs that share a bigram, one block of rows at a time: row, column, number of shared bigrams; sorted by row.

    Args:
        bigrams: [B, C], of ngram_matrices.
        rows: which texts come first in a pair.
        columns: which come second.
        upper: only pairs whose row comes before their column in ``bigrams``; rows and columns are sorted.
    """
    start = 0
    while start < len(rows):
        at = slice(start, start + max(_PAIRS_AT_ONCE // max(len(columns), 1), 16))
        start = at.stop
        if upper:
            columns = columns[np.searchsorted(columns, rows[at][0]) :]
        product = (bigrams[rows[at]] @ bigrams[columns].T).tocsr()
        row = np.repeat(rows[at], np.diff(product.indptr))
        column = columns[product.indices]
        keep = row < column if upper else np.ones(len(row), dtype=bool)
        if keep.any():
            yield row[keep], column[keep], product.data[keep].astype(np.float64)


def _numbered(keys: Iterator[tuple[str, ...]]) -> Index:
    """Equal keys, equal numbers."""
    numbers: dict[tuple[str, ...], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _slices(size: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, size, step))
