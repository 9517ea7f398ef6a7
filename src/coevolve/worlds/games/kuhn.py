"""Kuhn poker: three cards, one round of betting; every bet and every call moves a chip into the pot.

Both seats put in one chip. Who bets or calls puts in one more; the higher card, or whoever did not fold, wins what the
other put in: one chip or two. In chips the game is worth -1/18 to the first seat.

Source: Kuhn, "A simplified two-person poker" (1950).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

CARDS = "JQK"
STAKE = 2  # chips that can be lost at most: what a payoff of 1 stands for
_ENDS = (("check", "check"), ("bet", "fold"), ("bet", "call"), ("check", "bet", "fold"), ("check", "bet", "call"))


@dataclass(frozen=True, slots=True)
class KuhnPosition:
    """Implements :class:`coevolve.worlds.play.Position`.

    Args:
        cards: of both seats, two of J, Q, K.
        said: the moves so far.
    """

    cards: str
    said: tuple[str, ...] = ()

    @property
    def seat(self) -> int | None:
        """Seats move in turn."""
        return None if self.said in _ENDS else len(self.said) % 2

    @property
    def moves(self) -> tuple[str, ...]:
        """A bet is answered; otherwise one may be made."""
        if self.seat is None:
            return ()
        return ("fold", "call") if self.said[-1:] == ("bet",) else ("check", "bet")

    @property
    def view(self) -> str:
        """The own card, and what was said."""
        return " ".join(("kuhn", self.cards[self.seat or 0], *self.said))

    @property
    def put_in(self) -> tuple[int, int]:
        """Chips of each seat in the pot."""
        chips = [1, 1]
        for n, move in enumerate(self.said):
            chips[n % 2] += move in ("bet", "call")
        return chips[0], chips[1]

    @property
    def payoffs(self) -> tuple[float, float]:
        """Chips won, as shares of the largest stake."""
        if self.said[-1:] == ("fold",):
            winner = len(self.said) % 2  # who did not fold would be next
        else:
            winner = 0 if CARDS.index(self.cards[0]) > CARDS.index(self.cards[1]) else 1
        won = self.put_in[1 - winner] / STAKE
        return (won, -won) if winner == 0 else (-won, won)

    def after(self, move: str) -> KuhnPosition:
        """One more move."""
        if move not in self.moves:
            raise ValueError(f"{move!r} is no legal move after {self.said}")
        return replace(self, said=(*self.said, move))


@dataclass(frozen=True, slots=True)
class Kuhn:
    """Implements :class:`coevolve.worlds.play.Rules`."""

    name: str = "kuhn"

    def deal(self, seed: int) -> KuhnPosition:
        """Two different cards."""
        first, second = random.Random(f"kuhn {seed}").sample(CARDS, 2)
        return KuhnPosition(first + second)
