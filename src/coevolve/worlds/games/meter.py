"""The meter's view of the world of games: fixed players, a perfect one among them, and exact measures."""

from __future__ import annotations

from collections.abc import Sequence

from coevolve.config import EvaluationSection
from coevolve.types import Task
from coevolve.worlds.base import Suite
from coevolve.worlds.games.catalogue import GAMES, HELD_OUT_GAMES
from coevolve.worlds.games.perfect import PerfectTicTacToe, kuhn_exploitability, kuhn_sets
from coevolve.worlds.games.players import RandomPlayer
from coevolve.worlds.play import Contest, ReadStrategy


class GamesMeter:
    """Implements :class:`coevolve.worlds.play.MeterOfGames`. No text of this world has a true answer."""

    knows_labels = knows_all_labels = False

    def truth(self, task: Task) -> None:
        """None: a position has no answer."""

    def suites(self, section: EvaluationSection, seed: int) -> tuple[Suite, ...]:
        """None: what is measured is play."""
        return ()

    def contests(self, section: EvaluationSection) -> Sequence[Contest]:
        """Tic-tac-toe against a perfect player, and every game but that and Kuhn poker against a random one."""
        n = section.matches
        others = ("negotiation", *HELD_OUT_GAMES)
        contests = [Contest("tictactoe_perfect", GAMES["tictactoe"], PerfectTicTacToe(), n)]
        contests += [Contest(f"{name}_random", GAMES[name], RandomPlayer(), n) for name in others]
        return contests if n else []

    def strategies(self) -> Sequence[ReadStrategy]:
        """Kuhn poker, whose exploitability is exact."""
        return (ReadStrategy("kuhn", kuhn_sets(), kuhn_exploitability),)
