"""Nim: seats take from one of three piles in turn; whoever takes the last piece wins."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

PILES = "abc"


@dataclass(frozen=True, slots=True)
class NimPosition:
    """Implements :class:`coevolve.worlds.play.Position`.

    Args:
        piles: pieces of each.
        turn: number of the present one.
    """

    piles: tuple[int, int, int]
    turn: int = 0

    @property
    def seat(self) -> int | None:
        """Seats move in turn while anything is left."""
        return self.turn % 2 if any(self.piles) else None

    @property
    def moves(self) -> tuple[str, ...]:
        """``b2``: two pieces of the second pile."""
        return tuple(f"{name}{n}" for name, pile in zip(PILES, self.piles, strict=True) for n in range(1, pile + 1))

    @property
    def view(self) -> str:
        """The piles."""
        return "nim " + " ".join(f"{name}{pile}" for name, pile in zip(PILES, self.piles, strict=True))

    @property
    def payoffs(self) -> tuple[float, float]:
        """1 for the seat that moved last."""
        return (-1.0, 1.0) if self.turn % 2 == 0 else (1.0, -1.0)

    def after(self, move: str) -> NimPosition:
        """The piles without what was taken."""
        if move not in self.moves:
            raise ValueError(f"{move!r} is no legal move on {self.piles}")
        a, b, c = (
            pile - int(move[1]) if name == move[0] else pile for name, pile in zip(PILES, self.piles, strict=True)
        )
        return replace(self, piles=(a, b, c), turn=self.turn + 1)


@dataclass(frozen=True, slots=True)
class Nim:
    """Implements :class:`coevolve.worlds.play.Rules`.

    Args:
        largest: pieces of a pile at most, below 10.
    """

    largest: int = 4
    name: str = "nim"

    def deal(self, seed: int) -> NimPosition:
        """Three piles of one piece or more."""
        rng = random.Random(f"nim {seed}")
        a, b, c = (rng.randint(1, self.largest) for _ in PILES)
        return NimPosition((a, b, c))
