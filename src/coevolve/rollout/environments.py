"""What a policy meets while it writes: single-use environments that answer each pause of the sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from coevolve.engine.base import Pause
from coevolve.grading.extract import last_boxed
from coevolve.rollout.protocol import OUTPUT_FENCE, appended_observation, called_code
from coevolve.sandbox.base import ToolResult
from coevolve.types import PROPOSER, SOLVER, StopReason, ToolCall
from coevolve.worlds.base import Contract


@dataclass(frozen=True, slots=True)
class RunCode:
    """Execute this code and tell the environment the result."""

    code: str


@dataclass(frozen=True, slots=True)
class GoOn:
    """The pause means nothing: the policy writes on."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The answer is complete, and the user says more; the policy answers that next."""

    text: str  # everything that stands between the two answers


@dataclass(frozen=True, slots=True)
class Done:
    """The trajectory is over."""

    stop: StopReason
    answer: str | None = None


class Environment(Protocol):
    """One trajectory's surroundings. ``stop`` are the strings at which it wants to be asked."""

    @property
    def calls(self) -> Sequence[ToolCall]:
        """What was executed, in order."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings after which the policy pauses."""

    def step(self, segment: str, pause: Pause) -> RunCode | GoOn | Ask | Done:
        """React to what the policy wrote since the last observation or user turn."""

    def observe(self, result: ToolResult) -> str:
        """The text that the policy reads next, after a tool result."""


class WritingEnvironment:
    """Plain text without a tool: the proposer's question, or a solver whose tool is switched off."""

    def __init__(self, contract: Contract, agent: str) -> None:
        self.stop = contract.proposer_stops if agent == PROPOSER else contract.solver_stops
        self._contract, self._role = contract, agent
        self.calls: list[ToolCall] = []

    def step(self, segment: str, pause: Pause) -> RunCode | GoOn | Done:
        """The answer is the last box of the finished text."""
        if pause is Pause.LENGTH:
            return Done(StopReason.LENGTH)
        text = segment if pause is Pause.EOS else self._contract.finished(self._role, segment)
        return GoOn() if text is None else Done(StopReason.EOS, last_boxed(text))

    def observe(self, result: ToolResult) -> str:
        """There is no tool here.

        Raises:
            AssertionError: always.
        """
        raise AssertionError("no tool call was asked for")


class PythonToolEnvironment:
    """Text and Python in one stream: a closed code block before an output fence is executed, its output appended."""

    def __init__(self, contract: Contract, max_turns: int, shown: Callable[[str], str], agent: str = SOLVER) -> None:
        """
        Args:
            contract: how texts look.
            max_turns: tool calls of one text.
            shown: cuts an observation to what the policy may be shown.
            agent: who writes: an executor answers, a curriculum agent may compute while it composes.
        """
        stops = contract.proposer_stops if agent == PROPOSER else contract.solver_stops
        self.stop = (OUTPUT_FENCE, *stops)
        self._role = agent
        self._contract, self._max_turns, self._shown = contract, max_turns, shown
        self._segment, self._code = "", ""
        self.calls: list[ToolCall] = []

    def step(self, segment: str, pause: Pause) -> RunCode | GoOn | Done:
        """Run a code block, or end: only text after the last observation can hold the answer."""
        if pause is Pause.LENGTH:
            return Done(StopReason.LENGTH)
        if pause is Pause.EOS:
            return Done(StopReason.EOS, last_boxed(segment))
        if OUTPUT_FENCE not in segment:  # every text pauses at its first one
            text = self._contract.finished(self._role, segment)
            return GoOn() if text is None else Done(StopReason.EOS, last_boxed(text))
        code = called_code(segment)
        if code is None:
            return Done(StopReason.PROTOCOL)
        if len(self.calls) == self._max_turns:
            return Done(StopReason.TURNS)
        self._segment, self._code = segment, code
        return RunCode(code)

    def observe(self, result: ToolResult) -> str:
        """Record the call and return the rest of the output block."""
        shown = self._shown(self._contract.observation(result.status, result.stdout, result.stderr))
        self.calls.append(ToolCall(self._code, shown, str(result.status)))
        return appended_observation(self._segment, shown)


class DialogueEnvironment:
    """One environment per user turn, one after the other. The tool-call limit holds for each turn.

    Args:
        make: an environment for the answer to one turn.
        contract: says how a further user turn looks.
        follow_ups: the user turns after the opening one.
        all_turns: the answer is that to all turns together, "(3, 14)", and None where one is missing; else that to
            the last turn.
    """

    def __init__(
        self, make: Callable[[], Environment], contract: Contract, follow_ups: Sequence[str], *, all_turns: bool
    ) -> None:
        self._make, self._contract, self._all = make, contract, all_turns
        self._follow_ups = list(follow_ups)
        self._answers: list[str | None] = []
        self._past: list[ToolCall] = []
        self._now = make()

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings after which the policy pauses: the same in every turn."""
        return self._now.stop

    @property
    def calls(self) -> list[ToolCall]:
        """Those of all turns."""
        return [*self._past, *self._now.calls]

    def step(self, segment: str, pause: Pause) -> RunCode | GoOn | Ask | Done:
        """What the turn's environment says; after an answer the next user turn, or the end."""
        action = self._now.step(segment, pause)
        if not isinstance(action, Done) or action.stop is not StopReason.EOS:
            return action
        self._answers.append(action.answer)
        if self._follow_ups:
            self._past, self._now = self.calls, self._make()
            return Ask(self._contract.follow_up(self._follow_ups.pop(0), ended=pause is Pause.EOS))
        return Done(StopReason.EOS, self._together() if self._all else action.answer)

    def observe(self, result: ToolResult) -> str:
        """The text that the policy reads next, after a tool result."""
        return self._now.observe(result)

    def _together(self) -> str | None:
        given = [answer for answer in self._answers if answer is not None]
        return f"({', '.join(given)})" if len(given) == len(self._answers) else None
