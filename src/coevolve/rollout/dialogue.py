"""A task of several user turns: the policy answers one, with the tool if it has it, and is then asked the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coevolve.engine.base import Pause
from coevolve.rollout.environments import Ask, Done, Environment, GoOn, RunCode
from coevolve.sandbox.base import ToolResult
from coevolve.types import StopReason, ToolCall
from coevolve.worlds.base import Contract


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
