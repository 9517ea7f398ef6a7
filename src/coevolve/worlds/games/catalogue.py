"""The games of this world by name."""

from __future__ import annotations

from collections.abc import Mapping

from coevolve.worlds.games.kuhn import Kuhn
from coevolve.worlds.games.liars_dice import LiarsDice
from coevolve.worlds.games.negotiation import Negotiation
from coevolve.worlds.games.nim import Nim
from coevolve.worlds.games.pig import Pig
from coevolve.worlds.games.tictactoe import TicTacToe
from coevolve.worlds.play import Rules

GAMES: Mapping[str, Rules] = {
    rules.name: rules for rules in (TicTacToe(), Kuhn(), Negotiation(), Pig(), Nim(), LiarsDice())
}
TRAINED = ("tictactoe", "kuhn", "negotiation")
HELD_OUT_GAMES = tuple(name for name in GAMES if name not in TRAINED)  # measured, never trained on
