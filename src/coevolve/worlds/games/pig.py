"""Pig: roll a die as often as one dares; a one loses what the turn has brought. The first to reach the goal wins."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

MOST_DECISIONS = 24  # of both seats; a game that is longer is a draw


@dataclass(frozen=True, slots=True)
class PigPosition:
    """Implements :class:`coevolve.worlds.play.Position`.

    Args:
        goal: points that win.
        dice: the seed of the rolls.
        points: of both seats, held.
        gathered: in the present turn.
        mover: whose turn it is.
        rolls, decisions: so far.
    """

    goal: int
    dice: int
    points: tuple[int, int] = (0, 0)
    gathered: int = 0
    mover: int = 0
    rolls: int = 0
    decisions: int = 0

    @property
    def _total(self) -> int:
        return self.points[self.mover] + self.gathered

    @property
    def seat(self) -> int | None:
        """The same one until it holds or rolls a one."""
        over = max(*self.points, self._total) >= self.goal or self.decisions >= MOST_DECISIONS
        return None if over else self.mover

    @property
    def moves(self) -> tuple[str, ...]:
        """Always both."""
        return () if self.seat is None else ("roll", "hold")

    @property
    def view(self) -> str:
        """Own points, those of the other seat, and what this turn has brought."""
        return f"pig {self.points[self.mover]} to {self.points[1 - self.mover]} turn {self.gathered}"

    @property
    def payoffs(self) -> tuple[float, float]:
        """1 for whoever has reached the goal."""
        totals = list(self.points)
        totals[self.mover] += self.gathered
        if max(totals) < self.goal:
            return 0.0, 0.0
        return (1.0, -1.0) if totals[0] >= self.goal else (-1.0, 1.0)

    @property
    def die(self) -> int:
        """What the next roll will show: for the rules, not in any view."""
        return random.Random(f"pig {self.dice} {self.rolls}").randint(1, 6)

    def after(self, move: str) -> PigPosition:
        """The points after a roll, or the other seat's turn."""
        if move not in self.moves:
            raise ValueError(f"{move!r} is no legal move now")
        later = replace(self, decisions=self.decisions + 1)
        if move == "hold":
            a, b = self.points
            held = (a + self.gathered, b) if self.mover == 0 else (a, b + self.gathered)
            return replace(later, points=held, gathered=0, mover=1 - self.mover)
        later = replace(later, rolls=self.rolls + 1)
        if self.die == 1:
            return replace(later, gathered=0, mover=1 - self.mover)
        return replace(later, gathered=self.gathered + self.die)


@dataclass(frozen=True, slots=True)
class Pig:
    """Implements :class:`coevolve.worlds.play.Rules`.

    Args:
        goal: points that win.
    """

    goal: int = 10
    name: str = "pig"

    def deal(self, seed: int) -> PigPosition:
        """No points yet."""
        return PigPosition(self.goal, seed)
