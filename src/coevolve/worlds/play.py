"""What a game is to worlds, rollouts and meters: positions, moves as texts, and those who play.

Rules know no tokens, prompts or chat formats. They may be seen by learners: nothing here says which move is good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from coevolve.config import EvaluationSection
from coevolve.worlds.base import Meter, World

PLAY = "play"  # the part of an evaluation that holds the figures of matches and strategies

Strategy = Mapping[str, Mapping[str, float]]  # by information set, the probability of each legal move


class Position(Protocol):
    """A game of two seats at one moment. Positions never change: a move makes a new one."""

    @property
    def seat(self) -> int | None:
        """Who is to move, 0 or 1; None when the game is over."""

    @property
    def moves(self) -> tuple[str, ...]:
        """The legal moves as texts, none of them twice; none when the game is over."""

    @property
    def view(self) -> str:
        """All that the seat to move may know, in one line; never what the other seat holds alone."""

    @property
    def payoffs(self) -> tuple[float, float]:
        """Of both seats once the game is over. They add up to 0, and 1 is the most that can be won."""

    def after(self, move: str) -> Position:
        """The position after a legal move.

        Raises:
            ValueError: the move is not legal.
        """


class Rules(Protocol):
    """A game before it is dealt: plain data that crosses process boundaries."""

    @property
    def name(self) -> str:
        """One word."""

    def deal(self, seed: int) -> Position:
        """The first position, seat 0 to move. Cards, dice and holdings of the whole game follow from the seed."""


class Player(Protocol):
    """Somebody who is no policy: plain data that crosses process boundaries."""

    def choose(self, position: Position, seed: int) -> str:
        """A legal move of the seat to move; equal seeds give equal moves."""


@dataclass(frozen=True, slots=True)
class InformationSet:
    """A decision as the seat meets it: what it was shown and has said up to now.

    Args:
        key: its name in a strategy.
        shown: views, the last one being that of the decision.
        said: its own moves between them, one fewer.
        moves: the legal ones.
    """

    key: str
    shown: tuple[str, ...]
    said: tuple[str, ...]
    moves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contest:
    """Matches of a policy against a fixed player, in each seat equally many.

    Args:
        key: of its figures, ``tictactoe_perfect``.
        rules: the game.
        against: who has the other seat.
        matches: in each seat.
    """

    key: str
    rules: Rules
    against: Player
    matches: int


@dataclass(frozen=True, slots=True)
class ReadStrategy:
    """A game so small that the whole strategy of a policy is read off: the probability of every legal move is scored.

    Args:
        key: of its figures.
        sets: all decisions of the game.
        measure: the figures of a strategy, exact.
    """

    key: str
    sets: Sequence[InformationSet]
    measure: Callable[[Strategy], Mapping[str, float]]


class WorldOfGames(World, Protocol):
    """A world whose tasks are games."""

    @property
    def rules(self) -> Mapping[str, Rules]:
        """All games by name."""


class MeterOfGames(Meter, Protocol):
    """A meter that measures a policy by play as well."""

    def contests(self, section: EvaluationSection) -> Sequence[Contest]:
        """The matches that every policy of a run plays, in order."""

    def strategies(self) -> Sequence[ReadStrategy]:
        """The games whose whole strategy is read off."""
