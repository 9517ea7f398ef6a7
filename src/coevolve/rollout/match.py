"""Several seats at one table: turns alternate, each seat becomes a trajectory of its own, and the game may pay.

A game is a few rules over texts. It knows no tokens, prompts or chat formats: those come from the world's contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from coevolve.engine.base import Pause
from coevolve.rollout.environments import Action, Ask, Done, Environment, EnvironmentSpec, EpisodeTools, Over
from coevolve.sandbox.base import ToolResult
from coevolve.types import StopReason, ToolCall
from coevolve.worlds.base import PromptContext


@dataclass(frozen=True, slots=True)
class Turn:
    """A seat is to move; it may be the one that has moved."""

    seat: int
    shown: str  # what it learns first, as a user would say it


@dataclass(frozen=True, slots=True)
class Result:
    """The game is over."""

    rewards: tuple[float, ...]  # one per seat
    refused: str = ""  # why the turn of the seat that has written last is no move; empty where it is one


class Game(Protocol):
    """The rules of one game, from its first move to its end; used once."""

    def move(self, seat: int, said: str) -> Turn | Result:
        """What follows when a seat has written its turn (its last part, where it used a tool in between)."""

    def forfeit(self, seat: int) -> Result:
        """What it pays when a seat could not finish its turn: too long, too many tool calls, or a forged output."""


@dataclass(frozen=True, slots=True)
class MatchSpec:
    """A match over a game.

    Args:
        game: makes the game; picklable, e.g. a frozen dataclass with ``__call__`` that holds the match's seed.
        seats: how many there are.
        inner: the environment of one turn of any seat.
        agent: whose prompt a seat is given when its first turn comes; the first seat has its prompt from the episode.
    """

    game: Callable[[], Game]
    seats: int
    inner: EnvironmentSpec
    agent: str

    def open(self, tools: EpisodeTools) -> Sequence[Environment]:
        """One environment per seat, around one table."""
        table = _Table(self, tools)
        return [MatchSeat(table, seat) for seat in range(self.seats)]


class _Table:
    """What the seats of a match share: the game, and how the last text of each seat ended."""

    def __init__(self, spec: MatchSpec, tools: EpisodeTools) -> None:
        self.game, self.seats = spec.game(), spec.seats
        self._spec, self._tools = spec, tools
        self._ended: dict[int, bool] = {}  # seats that have written, and whether their end token stands there

    def environment(self) -> Environment:
        """Of a new turn."""
        return self._spec.inner.open(self._tools)[0]

    def follow(self, seat: int, outcome: Turn | Result, pause: Pause, done: Done) -> Ask | Over:
        """Hand the turn on, or end the match: ``done`` is how the seat ended its own text."""
        if isinstance(outcome, Result):
            assert len(outcome.rewards) == self.seats, "a game pays each seat"
            done = replace(done, refused=outcome.refused or done.refused)
            ends = [done if i == seat else Done(StopReason.EOS) for i in range(self.seats)]
            return Over(tuple(replace(x, reward=r) for x, r in zip(ends, outcome.rewards, strict=True)))
        self._ended[seat] = pause is Pause.EOS
        return Ask(self._shown(outcome), outcome.seat)

    def _shown(self, turn: Turn) -> str:
        text, contract = self._tools.quoted(turn.shown), self._tools.contract
        if turn.seat == 0 or turn.seat in self._ended:
            return contract.follow_up(text, ended=self._ended.get(turn.seat, False))
        return contract.prompt(self._spec.agent, PromptContext(question=text))


class MatchSeat:
    """One seat: an environment per turn, between which the others move."""

    def __init__(self, table: _Table, seat: int) -> None:
        self._table, self._seat = table, seat
        self._now = table.environment()
        self._past: list[ToolCall] = []

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings after which the policy pauses."""
        return self._now.stop

    @property
    def calls(self) -> list[ToolCall]:
        """Those of all turns of this seat."""
        return [*self._past, *self._now.calls]

    def step(self, segment: str, pause: Pause) -> Action:
        """What the turn's environment says; where that is the end of the turn, what the game says."""
        action = self._now.step(segment, pause)
        if isinstance(action, Ask):
            return Ask(action.text, self._seat)
        if not isinstance(action, Done):
            return action
        if action.stop is not StopReason.EOS:
            return self._table.follow(self._seat, self._table.game.forfeit(self._seat), pause, action)
        self._past, self._now = self.calls, self._table.environment()
        return self._table.follow(self._seat, self._table.game.move(self._seat, segment), pause, action)

    def observe(self, result: ToolResult) -> str:
        """The text that the policy reads next, after a tool result."""
        return self._now.observe(result)
