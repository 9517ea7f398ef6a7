"""Who else sits at a table: a player that knows the rules and nothing more."""

from __future__ import annotations

import random
from dataclasses import dataclass

from coevolve.worlds.play import Position


@dataclass(frozen=True, slots=True)
class RandomPlayer:
    """Any legal move, all equally likely. Implements :class:`coevolve.worlds.play.Player`."""

    def choose(self, position: Position, seed: int) -> str:
        """One of the legal moves."""
        return random.Random(seed).choice(position.moves)
