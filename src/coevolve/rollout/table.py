"""Matches of the games of a world: games of :mod:`coevolve.worlds.play` at tables of :mod:`coevolve.rollout.match`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coevolve.config.acting import Distribution
from coevolve.engine.base import Sampling
from coevolve.grading.extract import last_boxed
from coevolve.rollout.base import Episode, RolloutSettings, Seat
from coevolve.rollout.environments import WritingSpec
from coevolve.rollout.match import MatchSpec, Result, Turn
from coevolve.rollout.seeds import seed_of
from coevolve.types import StopReason, Trajectory
from coevolve.worlds.base import PromptContext
from coevolve.worlds.play import Player, Position, Rules

ILLEGAL = "illegal move"
LOSES = (-1.0, 1.0)  # what whoever makes an illegal move gets, and the other seat
_SEATS = 2


@dataclass(frozen=True, slots=True)
class Dealt:
    """One game with its chance, and who plays it. Makes the game of a :class:`coevolve.rollout.match.MatchSpec`.

    Args:
        rules: the game.
        seed: of its chance, and of the moves of ``against``.
        illegal: what whoever makes an illegal move gets, and the other seat.
        against: has the other seat; None: both seats are at the table.
        seat: of the only one at the table, where there is ``against``.
    """

    rules: Rules
    seed: int
    illegal: tuple[float, float] = LOSES
    against: Player | None = None
    seat: int = 0

    def __call__(self) -> GameAtTable:
        """The game, up to the first turn of a seat at the table."""
        return GameAtTable(self)

    @property
    def seats(self) -> int:
        """At the table."""
        return _SEATS if self.against is None else 1


class GameAtTable:
    """Implements :class:`coevolve.rollout.match.Game`. A seat's move is its last box, or all that it says."""

    def __init__(self, dealt: Dealt) -> None:
        self._dealt = dealt
        self._position: Position = dealt.rules.deal(dealt.seed)
        self._moves = 0
        self.opening = self._go_on()

    def move(self, seat: int, said: str) -> Turn | Result:
        """The next turn, or what both seats get."""
        move = last_boxed(said) or said.strip()
        if move not in self._position.moves:
            return self._pay(self._fault(seat), ILLEGAL)
        self._position = self._position.after(move)
        return self._go_on()

    def forfeit(self, seat: int) -> Result:
        """A turn without an end is no legal move."""
        return self._pay(self._fault(seat), ILLEGAL)

    def _go_on(self) -> Turn | Result:
        """Let the player who is not at the table move, until somebody who is has the turn."""
        dealt = self._dealt
        while self._position.seat is not None:
            if dealt.against is None or self._position.seat == dealt.seat:
                return Turn(0 if dealt.against else self._position.seat, self._position.view)
            chosen = dealt.against.choose(self._position, seed_of(dealt.seed, "against", self._moves))
            self._position, self._moves = self._position.after(chosen), self._moves + 1
        return self._pay(self._position.payoffs)

    def _fault(self, seat: int) -> tuple[float, float]:
        offender, other = self._dealt.illegal
        first = (seat if self._dealt.against is None else self._dealt.seat) == 0
        return (offender, other) if first else (other, offender)

    def _pay(self, payoffs: tuple[float, float], refused: str = "") -> Result:
        return Result(payoffs if self._dealt.against is None else (payoffs[self._dealt.seat],), refused)


def match_episode(
    settings: RolloutSettings, dealt: Dealt, agents: Sequence[str], drawn: Distribution, *, sample: int, seed: int
) -> Episode | None:
    """A match as an episode; None where it is over before anybody at the table has the turn.

    Args:
        settings: of the rollouts that will play it.
        dealt: the game.
        agents: who has each seat at the table.
        drawn: what tokens are drawn from.
        sample: number among the matches of this game.
        seed: of the tokens.
    """
    opening = dealt().opening
    if isinstance(opening, Result):
        return None
    assert opening.seat == 0, "the first seat at the table has the first turn"
    first, *others = agents
    prompt = settings.contract.prompt(first, PromptContext(question=opening.shown))
    seats = (Seat(first, prompt), *(Seat(agent, None) for agent in others))
    place = MatchSpec(dealt, dealt.seats, WritingSpec(first), first)
    sampling = Sampling(drawn.temperature, drawn.top_p, drawn.top_k, settings.sampling.max_tokens)
    return Episode(f"{dealt.rules.name}-{sample}", sample, seats, place, sampling, seed)


def is_fault(trajectory: Trajectory) -> bool:
    """Whether a seat ended its match by a move that is not legal, or by none."""
    return trajectory.refused == ILLEGAL or trajectory.stop is StopReason.LENGTH
