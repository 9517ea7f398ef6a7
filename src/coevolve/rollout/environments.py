"""Environments: what an episode does at each pause of the sampler. They are single-use, one per seat and trajectory.

An episode carries the description of its environment (``EnvironmentSpec``), which is plain data and crosses process
boundaries; the worker that plays the episode opens it. A new environment comes with its own description."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Protocol, TypeAlias

from coevolve.engine.base import Pause
from coevolve.grading.extract import last_boxed
from coevolve.rollout.echo import echoed, with_echo
from coevolve.rollout.protocol import (
    END_OF_PROGRAM,
    OUTPUT_FENCE,
    appended_observation,
    called_code,
    closed_program,
)
from coevolve.sandbox.base import Status, ToolResult
from coevolve.types import StopReason, ToolCall
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
    """The turn of this seat is complete; ``seat``, mostly the same one, is shown a text and writes next."""

    text: str  # all that stands between what it wrote and what it will write; its prompt, where it has none yet
    seat: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The only trajectory of the episode is over."""

    stop: StopReason
    answer: str | None = None
    reward: float | None = None  # what the environment pays, where it pays
    refused: str = ""  # why what stood in the box is no answer


@dataclass(frozen=True, slots=True)
class Over:
    """The episode is over for all of its seats."""

    seats: tuple[Done, ...]


Action: TypeAlias = RunCode | GoOn | Ask | Done | Over


class Environment(Protocol):
    """What one seat of an episode meets. ``stop`` are the strings at which it wants to be asked."""

    @property
    def calls(self) -> Sequence[ToolCall]:
        """What was executed, in order."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings after which the policy pauses."""

    def step(self, segment: str, pause: Pause) -> Action:
        """React to what the policy wrote since the last observation or user turn.

        ``Pause.LENGTH`` with an empty segment says that there is no room to go on: the answer is ``Done`` or ``Over``.
        """

    def observe(self, result: ToolResult) -> str:
        """The text that the policy reads next, after a tool result."""


@dataclass(frozen=True, slots=True)
class EpisodeTools:
    """What a worker hands to the environments that it opens."""

    contract: Contract  # how texts look
    shown: Callable[[str], str]  # cuts an observation to what the policy may be shown
    both_shown: Callable[[str, str], str]  # the same of what was printed and, below it, what went wrong
    quoted: Callable[[str], str]  # text of another policy, without what would be read as a special token


class EnvironmentSpec(Protocol):
    """An environment as plain data: frozen, picklable, with a ``repr`` that says all that decides what it does."""

    def open(self, tools: EpisodeTools) -> Sequence[Environment]:
        """A new environment for each seat of the episode; the first one begins."""


@dataclass(frozen=True, slots=True)
class WritingSpec:
    """Plain text without a tool.

    ``agent`` is the one whose stop strings and endings count, here and below.
    """

    agent: str

    def open(self, tools: EpisodeTools) -> Sequence[Environment]:
        """One seat."""
        return (WritingEnvironment(tools.contract, self.agent),)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """Text and Python in one stream, with at most ``max_turns`` tool calls.

    Args:
        agent: who writes.
        max_turns: tool calls of one text.
        at_fence: a program runs as soon as it is closed, ``tool.call_at``.
        echo: the value of a program that printed nothing is shown, ``tool.echo``.
    """

    agent: str
    max_turns: int
    at_fence: bool = False
    echo: bool = False

    def open(self, tools: EpisodeTools) -> Sequence[Environment]:
        """One seat."""
        return (PythonToolEnvironment(tools, self),)


@dataclass(frozen=True, slots=True)
class DialogueSpec:
    """An environment per user turn; see :class:`DialogueEnvironment`.

    Args:
        inner: that of the first turn.
        follow_ups: the user turns after it.
        all_turns: what the answer is.
        later: environments of the follow-ups, where they are not ``inner`` as well.
    """

    inner: EnvironmentSpec
    follow_ups: tuple[str, ...]
    all_turns: bool
    later: tuple[EnvironmentSpec, ...] = ()

    def open(self, tools: EpisodeTools) -> Sequence[Environment]:
        """One seat."""

        places = chain((self.inner,), self.later or repeat(self.inner))

        def make() -> Environment:
            return next(places).open(tools)[0]

        return (DialogueEnvironment(make, tools.contract, self.follow_ups, all_turns=self.all_turns),)


class WritingEnvironment:
    """Plain text without a tool: the proposer's question, or a solver whose tool is switched off."""

    def __init__(self, contract: Contract, agent: str) -> None:
        self.stop = contract.stops(agent)
        self._contract, self._agent = contract, agent
        self.calls: list[ToolCall] = []

    def step(self, segment: str, pause: Pause) -> RunCode | GoOn | Done:
        """The answer is the last box of the finished text."""
        if pause is Pause.LENGTH:
            return Done(StopReason.LENGTH)
        text = segment if pause is Pause.EOS else self._contract.finished(self._agent, segment)
        return GoOn() if text is None else Done(StopReason.EOS, last_boxed(text))

    def observe(self, result: ToolResult) -> str:
        """There is no tool here.

        Raises:
            AssertionError: always.
        """
        raise AssertionError("no tool call was asked for")


class PythonToolEnvironment:
    """Text and Python in one stream: a closed program before an output fence is executed, its output appended.

    Where programs run as soon as they are closed (``ToolSpec.at_fence``), the output fence is appended too, and a
    program is run at whichever comes first: its fence on a line of its own, or an output fence. Characters that were
    sampled in the same token behind the fence stay where they are: white space precedes the output, with anything else
    the fence closes nothing.
    """

    def __init__(self, tools: EpisodeTools, spec: ToolSpec) -> None:
        """
        Args:
            tools: of the worker.
            spec: what is to be played: an executor answers, a curriculum agent may compute while it composes.
        """
        self.stop = (OUTPUT_FENCE, *((END_OF_PROGRAM,) if spec.at_fence else ()), *tools.contract.stops(spec.agent))
        self._tools, self._spec, self._contract = tools, spec, tools.contract
        self._segment, self._code = "", ""
        self.calls: list[ToolCall] = []

    def step(self, segment: str, pause: Pause) -> RunCode | GoOn | Done:
        """Run a program, or end: only text after the last observation can hold the answer."""
        if pause is Pause.LENGTH:
            return Done(StopReason.LENGTH)
        if pause is Pause.EOS:
            return Done(StopReason.EOS, last_boxed(segment))
        code = closed_program(segment) if self._spec.at_fence else None
        if code is None and OUTPUT_FENCE not in segment:  # every text pauses at its first one
            text = self._contract.finished(self._spec.agent, segment)
            return GoOn() if text is None else Done(StopReason.EOS, last_boxed(text))
        code = code or called_code(segment)
        if code is None:
            return Done(StopReason.PROTOCOL)
        if len(self.calls) == self._spec.max_turns:
            return Done(StopReason.TURNS)
        self._segment, self._code = segment, code
        return RunCode(with_echo(code) if self._spec.echo else code)

    def observe(self, result: ToolResult) -> str:
        """Record the call and return the rest of the output block."""
        shown = self._observation(echoed(result) if self._spec.echo else result)
        self.calls.append(ToolCall(self._code, shown, str(result.status)))
        return appended_observation(self._segment, shown)

    def _observation(self, result: ToolResult) -> str:
        text = self._contract.observation(result.status, result.stdout, result.stderr)
        if result.stdout and (result.stderr or result.status is not Status.OK):
            messages = self._contract.observation(result.status, "", result.stderr)
            printed = text.removesuffix(f"\n{messages}")
            if printed != text:
                return self._tools.both_shown(printed, messages)
        return self._tools.shown(text)


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
        self._refused: list[str] = []  # why there is none, by turn
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

    def step(self, segment: str, pause: Pause) -> Action:
        """What the turn's environment says; after an answer the next user turn, or the end."""
        action = self._now.step(segment, pause)
        if not isinstance(action, Done) or action.stop is not StopReason.EOS:
            return action
        self._answers.append(action.answer)
        self._refused.append(action.refused)
        if self._follow_ups:
            self._past, self._now = self.calls, self._make()
            return Ask(self._contract.follow_up(self._follow_ups.pop(0), ended=pause is Pause.EOS))
        if not self._all:
            return action
        return Done(StopReason.EOS, self._together(), refused=next(filter(None, self._refused), ""))

    def observe(self, result: ToolResult) -> str:
        """The text that the policy reads next, after a tool result."""
        return self._now.observe(result)

    def _together(self) -> str | None:
        given = [answer for answer in self._answers if answer is not None]
        return f"({', '.join(given)})" if len(given) == len(self._answers) else None
