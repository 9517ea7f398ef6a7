"""An environment around another one that lets no box pass for an answer which is none (``grading/refused.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from coevolve.engine.base import Pause
from coevolve.grading.refused import Refusing
from coevolve.rollout.environments import Action, Done, Environment, EnvironmentSpec, EpisodeTools
from coevolve.sandbox.base import Status, ToolResult
from coevolve.types import ToolCall


@dataclass(frozen=True, slots=True)
class RefusingSpec:
    """Answers to ``question`` within ``inner``, an environment of one seat; a refused one is missing."""

    inner: EnvironmentSpec
    question: str
    refusing: Refusing

    def open(self, tools: EpisodeTools) -> Sequence[Environment]:
        """One seat."""
        return (RefusingEnvironment(self.inner.open(tools)[0], self.question, self.refusing),)


class RefusingEnvironment:
    """Everything as the environment within it says, but for the answer at the end."""

    def __init__(self, inner: Environment, question: str, refusing: Refusing) -> None:
        self._inner, self._question, self._refusing = inner, question, refusing

    @property
    def calls(self) -> Sequence[ToolCall]:
        """What was executed, in order."""
        return self._inner.calls

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings after which the policy pauses."""
        return self._inner.stop

    def step(self, segment: str, pause: Pause) -> Action:
        """What the environment within says; an answer that is none becomes a missing one, with the reason."""
        action = self._inner.step(segment, pause)
        if not isinstance(action, Done) or action.answer is None:
            return action
        failures = [call.observation for call in self.calls if call.status != Status.OK]
        why = self._refusing.why(action.answer, self._question, failures)
        return replace(action, answer=None, refused=why) if why else action

    def observe(self, result: ToolResult) -> str:
        """The text that the policy reads next, after a tool result."""
        return self._inner.observe(result)
