"""Simple negotiation: two seats trade wood and ore, whose worth to the other neither knows; who gains more wins.

A game in the manner of SPIRAL's (arXiv 2506.24119), of two goods and a few turns, so that a tiny model can play it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

GOODS = ("wood", "ore")
MOST = 2  # of a good, on either side of an offer
HELD = (1, 5)  # of each good, at the start
WORTH = (1, 5)  # of one piece, to one seat
Pair = tuple[int, int]  # of wood and of ore


@dataclass(frozen=True, slots=True)
class Offer:
    """Pieces of one good that who offers would give, for pieces of the other that it would take."""

    gives: int  # index of the good
    given: int
    taken: int

    @property
    def text(self) -> str:
        """``2 wood for 1 ore``."""
        return f"{self.given} {GOODS[self.gives]} for {self.taken} {GOODS[1 - self.gives]}"

    def change(self, *, of_giver: bool) -> Pair:
        """What each good becomes more by, for the seat that offers or for the other."""
        sign = 1 if of_giver else -1
        changes = (-sign * self.given, sign * self.taken)
        return changes if self.gives == 0 else (changes[1], changes[0])


OFFERS = tuple(Offer(g, a, b) for g in (0, 1) for a in range(1, MOST + 1) for b in range(1, MOST + 1))
_BY_TEXT = {offer.text: offer for offer in OFFERS}


@dataclass(frozen=True, slots=True)
class NegotiationPosition:
    """Implements :class:`coevolve.worlds.play.Position`.

    Args:
        held: by seat, what it has of each good.
        worth: by seat, what a piece of each good is worth to it.
        gained: by seat, what it has gained since the start, in its own worth.
        offer: of the seat that has moved last.
        left: turns that are still to come.
        turn: number of the present one.
    """

    held: tuple[Pair, Pair]
    worth: tuple[Pair, Pair]
    left: int
    gained: Pair = (0, 0)
    offer: Offer | None = None
    turn: int = 0

    @property
    def seat(self) -> int | None:
        """Seats move in turn until none is left."""
        return self.turn % 2 if self.left else None

    @property
    def moves(self) -> tuple[str, ...]:
        """Offers that the seat can keep, ``accept`` where it can pay for what it is offered, and ``pass``."""
        if self.seat is None:
            return ()
        held = self.held[self.seat]
        offers = tuple(offer.text for offer in OFFERS if held[offer.gives] >= offer.given)
        payable = self.offer is not None and held[1 - self.offer.gives] >= self.offer.taken
        return (*offers, *(("accept",) if payable else ()), "pass")

    @property
    def view(self) -> str:
        """The own goods and what they are worth to the seat, turns left, and what it is offered."""
        seat = self.seat or 0
        goods = zip(GOODS, self.held[seat], self.worth[seat], strict=True)
        shown = " ".join(f"{name} {n} at {worth}" for name, n, worth in goods)
        offered = f" offered {self.offer.text}" if self.offer else ""
        return f"negotiation {shown} left {self.left}{offered}"

    @property
    def payoffs(self) -> tuple[float, float]:
        """1 for the larger gain, 0 where both are equal."""
        a, b = self.gained
        return float((a > b) - (a < b)), float((b > a) - (b < a))

    def after(self, move: str) -> NegotiationPosition:
        """The next turn; an offer that was not accepted is gone."""
        if move not in self.moves:
            raise ValueError(f"{move!r} is no legal move now")
        later = replace(self, offer=_BY_TEXT.get(move), left=self.left - 1, turn=self.turn + 1)
        if move != "accept" or self.offer is None:
            return later
        held, gained = list(self.held), list(self.gained)
        for seat in (0, 1):
            change = self.offer.change(of_giver=seat != self.seat)
            held[seat] = (held[seat][0] + change[0], held[seat][1] + change[1])
            gained[seat] += change[0] * self.worth[seat][0] + change[1] * self.worth[seat][1]
        return replace(later, held=(held[0], held[1]), gained=(gained[0], gained[1]))


@dataclass(frozen=True, slots=True)
class Negotiation:
    """Implements :class:`coevolve.worlds.play.Rules`.

    Args:
        turns: of both seats together.
    """

    turns: int = 6
    name: str = "negotiation"

    def deal(self, seed: int) -> NegotiationPosition:
        """Goods and worths of both seats."""
        rng = random.Random(f"negotiation {seed}")

        def pair(bounds: Pair) -> Pair:
            return rng.randint(*bounds), rng.randint(*bounds)

        return NegotiationPosition((pair(HELD), pair(HELD)), (pair(WORTH), pair(WORTH)), self.turns)
