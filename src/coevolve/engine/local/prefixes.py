"""Beginnings that many prompts share, computed once for as long as the weights stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from coevolve.engine.local.portions import PREFIX_BLOCK, PREFIX_LEAST
from coevolve.types import Ints

if TYPE_CHECKING:
    from coevolve.engine.local.growing import SlotCache

_KEPT = 4  # of so many prefixes keys and values stay in memory


def common_prefix(prompts: Sequence[Ints]) -> Ints:
    """The longest beginning that all prompts share and that leaves each a token; empty where it is not worth it.

    It depends on which prompts there are, not on their order.
    """
    if len(prompts) < 2:
        return np.zeros(0, np.int32)
    first = min(prompts, key=len)
    length = len(first) - 1
    for prompt in prompts:
        different = np.flatnonzero(prompt[:length] != first[:length])
        length = int(different[0]) if len(different) else length
    return first[: length if length >= PREFIX_LEAST else 0]


class Prefixes:
    """Keys and values of prefixes by their tokens.

    A prefix is computed in blocks of fixed size and a rest, each in a pass of its own after those before it. So a block
    depends on nothing but the tokens up to its end, and one that is known from another prefix is that very block.

    Args:
        extend: computes the tokens from one position to another and writes them to the cache of a prefix.
    """

    def __init__(self, empty: SlotCache, extend: Callable[[SlotCache, Ints, int, int], None]) -> None:
        self._empty, self._extend = empty, extend
        self._known: dict[bytes, tuple[Ints, SlotCache]] = {}

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()

    def of(self, tokens: Ints) -> tuple[Ints, SlotCache] | None:
        """The tokens of a prefix with its keys and values, in one slot; None where it is empty."""
        if len(tokens) == 0:
            return None
        key = tokens.tobytes()
        known = self._known.pop(key, None)
        if known is None:
            known = tokens.copy(), self._computed(tokens)
        self._known[key] = known  # the newest comes last
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]
        return known

    def _computed(self, tokens: Ints) -> SlotCache:
        cache = self._empty.like()
        cache.hold(len(tokens))
        start = 0
        for other, stored in self._known.values():
            shared = len(tokens[: len(other)])
            different = np.flatnonzero(other[:shared] != tokens[:shared])
            shared = int(different[0]) if len(different) else shared
            whole = shared // PREFIX_BLOCK * PREFIX_BLOCK
            if whole > start:
                start = whole
                for new, old in zip(cache.layers, stored.layers, strict=True):
                    new[:, :, :, :start] = old[:, :, :, :start]
        while start < len(tokens):
            end = min(start + PREFIX_BLOCK, len(tokens))
            self._extend(cache, tokens, start, end)
            start = end
        return cache
