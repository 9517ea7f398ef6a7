"""Near-duplicates between two sets of questions: equal ones, those that share a run of words, and those alike by BLEU.

Texts are compared as words: lower case, Unicode NFKC, numbers with their decimals, every mathematical sign and bracket
a word of its own; other punctuation, ``$``, backslashes and braces do not count.

Runs of words follow GPT-3 (arXiv 2005.14165, section 4): a problem overlaps that shares 13 words in a row with a
training text, or that stands as a whole in one where it has fewer words. BLEU is that of the curriculum, with the
training text as hypothesis; only pairs with four words in a row in common are looked at. Without those, BLEU of a
hypothesis of five words or more is below (0.1 / 2) ** (1 / 4) = 0.473, which is why no threshold may be lower.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from coevolve.curriculum.bleu import EPSILON, MAX_ORDER, Array, bleu

RUN = 13  # words in a row, as in GPT-3
ALIKE = 0.5  # the similarity from which the proposer's questions count as one cluster by default
LEAST_ALIKE = (EPSILON / 2) ** 0.25
_PAIRS_AT_ONCE = 1 << 22  # of one block of the product of two matrices
_EXACT_AT_ONCE = 1 << 15
_WORD = re.compile(r"[0-9]+(?:\.[0-9]+)?|[^\W_]+|[^\w\s]|_")
_COMMA_IN_NUMBER = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_IGNORED = frozenset(".,;:!?'\"`´‘’“”$\\{}")

Ids = NDArray[np.int64]


def words(text: str) -> list[str]:
    """The words that two texts are compared by."""
    plain = _COMMA_IN_NUMBER.sub("", unicodedata.normalize("NFKC", text).casefold())
    return [word for word in _WORD.findall(plain) if word not in _IGNORED]


@dataclass(frozen=True, slots=True)
class Matches:
    """Of each of P problems a training text that it overlaps with in this way, as its index; -1 where there is none.

    Args:
        exact: [P] one with the same words.
        shared: [P] one that shares RUN words in a row, or holds the whole of a shorter problem.
        alike: [P] the most similar one by BLEU, where that reaches the threshold.
        bleu: [P] its BLEU; 0 where there is none.
    """

    exact: Ids
    shared: Ids
    alike: Ids
    bleu: Array


def matches(problems: Sequence[str], trained: Sequence[str], *, alike: float = ALIKE) -> Matches:
    """Hold each problem against all training texts.

    Memory grows with the words of both, not with the number of pairs.

    Args:
        problems: P questions of a suite.
        trained: the texts that were trained on.
        alike: the BLEU from which two texts count as alike, more than LEAST_ALIKE.

    Raises:
        ValueError: the threshold is too low, or above 1.
    """
    if not LEAST_ALIKE < alike <= 1:
        raise ValueError(f"the threshold must be above {LEAST_ALIKE:.3f} and at most 1, not {alike}")
    corpus = _Corpus.of([*trained, *problems])
    exact = equal(problems, trained)
    shared = _sharing_a_run(corpus, len(trained))
    best, value = _most_alike(corpus, len(trained), alike)
    return Matches(exact, shared, best, value)


def equal(problems: Sequence[str], trained: Sequence[str]) -> Ids:
    """Of each problem the index of the first training text with the same words; -1 where there is none, or no word."""
    first: dict[str, int] = {}
    for number, text in enumerate(trained):
        first.setdefault(" ".join(words(text)), number)
    keys = (" ".join(words(text)) for text in problems)
    return np.array([first.get(key, -1) if key else -1 for key in keys], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Texts as numbers of words, one after the other."""

    ids: Ids  # [W]
    text: Ids  # [W] the text that a word belongs to
    left: Ids  # [W] words from here to the end of the text
    lengths: Ids  # [N]

    @staticmethod
    def of(texts: Sequence[str]) -> _Corpus:
        numbers: dict[str, int] = {}
        split = [np.array([numbers.setdefault(w, len(numbers)) for w in words(t)], dtype=np.int64) for t in texts]
        lengths = np.array([len(one) for one in split], dtype=np.int64)
        ids = np.concatenate([*split, np.zeros(0, dtype=np.int64)])
        text = np.repeat(np.arange(len(texts)), lengths)
        return _Corpus(ids, text, np.cumsum(lengths)[text] - np.arange(len(ids)), lengths)

    def grams(self, n: int) -> Ids:
        """[W] equal numbers for equal runs of n words, by where they begin; -1 where the text ends before."""
        known, taken, runs, size = self.ids, 0, self.ids, 1
        for bit in bin(n)[:1:-1]:  # runs of 1, 2, 4, ... words; those of which n is the sum are joined
            if bit == "1":
                known = runs if not taken else self._joined(known, taken, runs, size)
                taken += size
            if taken < n:
                runs, size = self._joined(runs, size, runs, size), 2 * size
        return known

    def _joined(self, first: Ids, size: int, second: Ids, more: int) -> Ids:
        at = np.flatnonzero(self.left >= size + more)
        joined = np.full(len(self.ids), -1, dtype=np.int64)
        if len(at):
            pairs = first[at] * (int(second.max()) + 1) + second[at + size]
            joined[at] = np.unique(pairs, return_inverse=True)[1]
        return joined


def _sharing_a_run(corpus: _Corpus, trained: int) -> Ids:
    """Of each problem a training text that shares RUN words in a row, or all words where the problem has fewer."""
    lengths = corpus.lengths[trained:]
    found = np.full(len(lengths), -1, dtype=np.int64)
    for n in sorted({min(RUN, int(length)) for length in np.unique(lengths)} - {0}):
        grams = corpus.grams(n)
        valid = grams >= 0
        train = valid & (corpus.text < trained)
        owner = np.full(int(grams.max(initial=0)) + 1, -1, dtype=np.int64)
        owner[grams[train][::-1]] = corpus.text[train][::-1]  # of several texts the first
        here = valid & (corpus.text >= trained)
        here &= (corpus.lengths[corpus.text] >= RUN) if n == RUN else (corpus.lengths[corpus.text] == n)
        hit = np.flatnonzero(here)[owner[grams[here]] >= 0][::-1]
        found[corpus.text[hit] - trained] = owner[grams[hit]]  # of several runs the first
    return found


def _most_alike(corpus: _Corpus, trained: int, least: float) -> tuple[Ids, Array]:
    """Of each problem the most similar training text and its BLEU, where that is ``least`` or more."""
    problems = len(corpus.lengths) - trained
    best, value = np.full(problems, -1, dtype=np.int64), np.zeros(problems)
    orders = [_Order.of(corpus, n, trained) for n in range(1, MAX_ORDER + 1)]
    lengths = corpus.lengths.astype(np.float64)
    for row, column, runs in _candidates(orders[-1]):
        h, r = lengths[column], lengths[trained + row]
        both = np.minimum(h, r)
        bound = bleu([both, both - 1, both - 2, runs], h, r)  # more words in common than that there cannot be
        begins = np.flatnonzero(np.diff(row, prepend=-1))
        highest = np.repeat(np.maximum.reduceat(bound, begins), np.diff(np.append(begins, len(row))))
        for promising in (True, False):  # the likeliest of each problem first; then what could still be nearer
            chosen = bound == highest if promising else (bound < highest) & (bound > value[row])
            at = np.flatnonzero(chosen & (bound >= least - 1e-9))
            for part in np.split(at, range(_EXACT_AT_ONCE, len(at), _EXACT_AT_ONCE)):
                found = bleu([order.shared(row[part], column[part]) for order in orders], h[part], r[part])
                _keep_best(best, value, row[part], column[part], np.where(found >= least - 1e-9, found, 0.0))
    return best, value


def _keep_best(best: Ids, value: Array, row: Ids, column: Ids, found: Array) -> None:
    """Put the highest of the values of each row in its place where it beats what stands there; the first of equals."""
    ranked = np.lexsort((-column, found))
    row, column, found = row[ranked], column[ranked], found[ranked]
    better = found > value[row]
    value[row[better]], best[row[better]] = found[better], column[better]


@dataclass(frozen=True, slots=True)
class _Order:
    """The runs of n words of all texts: products of rows are BLEU's clipped matches."""

    trained: sparse.csr_array  # [T, C], a column per run and occurrence number within its text
    problems: sparse.csr_array  # [P, C]

    @staticmethod
    def of(corpus: _Corpus, n: int, trained: int) -> _Order:
        grams = corpus.grams(n)
        at = np.flatnonzero(grams >= 0)
        text, run = corpus.text[at], grams[at]
        key = text * (int(run.max(initial=0)) + 1) + run
        order = np.argsort(key, kind="stable")
        begins = np.flatnonzero(np.diff(key[order], prepend=-1))
        sizes = np.diff(np.append(begins, len(key)))
        occurrence = np.empty(len(key), dtype=np.int64)
        occurrence[order] = np.arange(len(key)) - np.repeat(begins, sizes)
        column = np.unique(run * (int(sizes.max(initial=0)) + 1) + occurrence, return_inverse=True)[1]
        columns = int(column.max(initial=-1)) + 1
        on_both = np.bincount(column[text < trained], minlength=columns) > 0
        on_both &= np.bincount(column[text >= trained], minlength=columns) > 0
        keep = on_both[column]
        shape = (len(corpus.lengths), int(on_both.sum()))
        places = (text[keep], (np.cumsum(on_both) - 1)[column[keep]])
        matrix = sparse.csr_array((np.ones(int(keep.sum()), dtype=np.int32), places), shape=shape)
        return _Order(matrix[:trained], matrix[trained:])

    def shared(self, problem: Ids, trained: Ids) -> Array:
        """Clipped matches of pairs."""
        product: Any = self.problems[problem].multiply(self.trained[trained])
        return np.asarray(product.sum(axis=1), dtype=np.float64).ravel()


def _candidates(order: _Order) -> Iterator[tuple[Ids, Ids, Array]]:
    """Pairs that share a run: problem, training text, number of shared runs; sorted by problem, a block at a time."""
    size, step = order.problems.shape[0], max(_PAIRS_AT_ONCE // max(order.trained.shape[0], 1), 16)
    across = order.trained.T.tocsr()
    for start in range(0, size, step):
        product = (order.problems[start : start + step] @ across).tocsr()
        if product.nnz:
            row = start + np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
            yield row, product.indices.astype(np.int64), product.data.astype(np.float64)
