"""A buffer that holds each thing once and, when it is full, gives up its oldest."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


class Ring(Generic[T]):
    """At most ``capacity`` things, the newest ones, each once.

    Source: Absolute Zero (arXiv 2505.03335), section 3.3.1, whose published code keeps the oldest instead and holds
    equal tasks twice.

    Args:
        capacity: how many, at least 1.
        key: things with equal keys are the same thing.
    """

    def __init__(self, capacity: int, key: Callable[[T], Hashable]) -> None:
        self._capacity, self._key = capacity, key
        self._held: dict[Hashable, T] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, thing: T) -> bool:
        return self._key(thing) in self._held

    @property
    def held(self) -> list[T]:
        """All of them, oldest first."""
        return list(self._held.values())

    def add(self, things: Iterable[T]) -> list[T]:
        """Take in what is not held yet, in order; returns what was taken in."""
        new: list[T] = []
        for thing in things:
            if thing in self:
                continue
            self._held[self._key(thing)] = thing
            new.append(thing)
            if len(self._held) > self._capacity:
                del self._held[next(iter(self._held))]
        return new

    def drawn(self, n: int, rng: np.random.Generator) -> list[T]:
        """``n`` of them, uniformly and without replacement; all in random order where there are fewer."""
        held = self.held
        return [held[i] for i in rng.permutation(len(held))[:n]]
