"""What a policy meets while it writes: single-use environments that answer each pause of the sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from coevolve.engine.base import Pause
from coevolve.grading.extract import last_boxed
from coevolve.rollout.protocol import OUTPUT_FENCE, appended_observation, called_code
from coevolve.sandbox.base import ToolResult
from coevolve.types import Role, StopReason, ToolCall
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

    def __init__(self, contract: Contract, role: Role) -> None:
        self.stop = contract.proposer_stops if role is Role.PROPOSER else contract.solver_stops
        self._contract, self._role = contract, role
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

    def __init__(
        self, contract: Contract, max_turns: int, shown: Callable[[str], str], role: Role = Role.SOLVER
    ) -> None:
        """
        Args:
            contract: how texts look.
            max_turns: tool calls of one text.
            shown: cuts an observation to what the policy may be shown.
            role: who writes: an executor answers, a curriculum agent may compute while it composes.
        """
        stops = contract.proposer_stops if role is Role.PROPOSER else contract.solver_stops
        self.stop = (OUTPUT_FENCE, *stops)
        self._role = role
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
