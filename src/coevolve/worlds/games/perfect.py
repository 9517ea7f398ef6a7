"""Players and measures that know the right moves: for meters alone.

A perfect player of tic-tac-toe, and the exact exploitability of a strategy in Kuhn poker.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

from coevolve.worlds.games.kuhn import CARDS, STAKE, KuhnPosition
from coevolve.worlds.games.tictactoe import TicTacToePosition
from coevolve.worlds.play import InformationSet, Position, Strategy

KUHN_VALUE = -1 / 18  # chips for the first seat, when both play as well as can be


@cache
def tictactoe_value(position: TicTacToePosition) -> float:
    """What the seat that began gets when both play as well as can be: 1, 0 or -1."""
    if position.seat is None:
        return position.payoffs[0]
    values = [tictactoe_value(position.after(move)) for move in position.moves]
    return max(values) if position.seat == 0 else min(values)


@dataclass(frozen=True, slots=True)
class PerfectTicTacToe:
    """Never loses; of moves that are equally good it takes any. Implements :class:`coevolve.worlds.play.Player`."""

    def choose(self, position: Position, seed: int) -> str:
        """One of the best moves, all equally likely."""
        assert isinstance(position, TicTacToePosition)
        best = tictactoe_value(position)
        good = [move for move in position.moves if tictactoe_value(position.after(move)) == best]
        return random.Random(seed).choice(good)


def kuhn_sets() -> tuple[InformationSet, ...]:
    """The twelve decisions of Kuhn poker, six of each seat."""
    found: dict[str, InformationSet] = {}

    def visit(position: KuhnPosition, told: Mapping[int, tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
        if position.seat is None:
            return
        shown, said = told.get(position.seat, ((), ()))
        shown = (*shown, position.view)
        found.setdefault(position.view, InformationSet(position.view, shown, said, position.moves))
        for move in position.moves:
            visit(position.after(move), {**told, position.seat: (shown, (*said, move))})

    for cards in permutations(CARDS, 2):
        visit(KuhnPosition("".join(cards)), {})
    return tuple(found.values())


def kuhn_exploitability(strategy: Strategy) -> dict[str, float]:
    """How far a strategy for both seats is from unbeatable, in chips.

    Args:
        strategy: by view, the probabilities of the two legal moves; they add up to 1.

    Returns:
        ``exploitability``: what the best responses to each seat win on average over the two seats, (b_0 + b_1) / 2,
        0 for an equilibrium. ``value``: what the first seat gets when the strategy plays itself.
    """
    against_second, against_first = _best_response(strategy, 0), _best_response(strategy, 1)
    return {"exploitability": (against_second + against_first) / 2, "value": _expected(strategy)}


def _deals() -> list[KuhnPosition]:
    return [KuhnPosition("".join(cards)) for cards in permutations(CARDS, 2)]


def _play_out(position: KuhnPosition, strategy: Strategy) -> float:
    """Chips of the first seat."""
    if position.seat is None:
        return position.payoffs[0] * STAKE
    chances = strategy[position.view]
    return sum(chances[move] * _play_out(position.after(move), strategy) for move in position.moves)


def _expected(strategy: Strategy) -> float:
    deals = _deals()
    return sum(_play_out(deal, strategy) for deal in deals) / len(deals)


def _best_response(strategy: Strategy, seat: int) -> float:
    """Chips that a seat wins at best against a strategy, by trying all of its pure strategies: two to the sixth."""
    mine = [one for one in kuhn_sets() if len(one.shown[-1].split()[2:]) % 2 == seat]
    sign = 1 if seat == 0 else -1
    best = float("-inf")
    for moves in product(*(one.moves for one in mine)):
        pairs = zip(mine, moves, strict=True)
        pure = {one.key: {move: float(move == chosen) for move in one.moves} for one, chosen in pairs}
        best = max(best, sign * _expected({**strategy, **pure}))
    return best
