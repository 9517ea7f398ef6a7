"""Liar's dice with one die each: bids rise until somebody calls the last one a lie. A six counts as any face."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

FACES = range(1, 7)
BIDS = tuple(f"{count}x{face}" for count in (1, 2) for face in FACES)  # from the lowest to the highest
WILD = 6
LIAR = "liar"


@dataclass(frozen=True, slots=True)
class LiarsDicePosition:
    """Implements :class:`coevolve.worlds.play.Position`.

    Args:
        dice: of both seats, hidden from each other.
        said: bids so far, and the call that ends the game.
    """

    dice: tuple[int, int]
    said: tuple[str, ...] = ()

    @property
    def seat(self) -> int | None:
        """Seats move in turn until one calls."""
        return None if self.said[-1:] == (LIAR,) else len(self.said) % 2

    @property
    def moves(self) -> tuple[str, ...]:
        """Higher bids, and after a bid the call."""
        if self.seat is None:
            return ()
        if not self.said:
            return BIDS
        return (*BIDS[BIDS.index(self.said[-1]) + 1 :], LIAR)

    @property
    def view(self) -> str:
        """The own die, and what was bid."""
        return " ".join(("liarsdice", str(self.dice[self.seat or 0]), *self.said))

    @property
    def payoffs(self) -> tuple[float, float]:
        """The last bid holds where so many dice of both show its face or a six; then whoever called it a lie loses."""
        count, face = (int(part) for part in self.said[-2].split("x"))
        holds = sum(die in (face, WILD) for die in self.dice) >= count
        caller = (len(self.said) - 1) % 2
        winner = 1 - caller if holds else caller
        return (1.0, -1.0) if winner == 0 else (-1.0, 1.0)

    def after(self, move: str) -> LiarsDicePosition:
        """One more bid, or the call."""
        if move not in self.moves:
            raise ValueError(f"{move!r} is no legal move after {self.said}")
        return replace(self, said=(*self.said, move))


@dataclass(frozen=True, slots=True)
class LiarsDice:
    """Implements :class:`coevolve.worlds.play.Rules`."""

    name: str = "liarsdice"

    def deal(self, seed: int) -> LiarsDicePosition:
        """A die for each seat."""
        rng = random.Random(f"liarsdice {seed}")
        return LiarsDicePosition((rng.choice(FACES), rng.choice(FACES)))
