"""What a world is: one view for the learner, another for the meter. They never mix.

Everything that learns sees a ``World``, which can tell a well-formed question from a damaged one but knows no
answer. Only evaluation and reports see a ``Meter``. A test walks the imports and fails when learning code can
reach a solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from coevolve.types import Task


@dataclass(frozen=True, slots=True)
class PromptContext:
    """What a prompt depends on besides its agent."""

    question: str = ""  # to be answered; of a dialogue its first turn
    examples: tuple[str, ...] = ()  # texts to show, e.g. tasks that exist already
    kind: str = ""  # the family of tasks to write, or of the one to answer; empty: any


NO_CONTEXT = PromptContext()


class Contract(Protocol):
    """How the texts look that this base model was raised on. Text in, text out; no tokens, no answers."""

    name: str
    tool_opening: str  # text that commits an answer to its first tool call, for the forced-tool control
    proposer_opening: str  # the end of the proposer's prompt that is part of what it writes

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        """The prompt that makes the model write a task (a proposer), or answer one (anybody else).

        Raises:
            ConfigError: the texts of this world cannot say what the context asks for.
        """

    def stops(self, agent: str) -> tuple[str, ...]:
        """Strings at which an agent is asked whether its text is complete; an output fence is another matter."""

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """What stands between an answer and the next one: a further user turn.

        Args:
            ended: the answer was ended by an end token, which stands there already.
        """

    def finished(self, agent: str, text: str) -> str | None:
        """The text of an agent without what follows its end, None when it goes on.

        Args:
            agent: who writes.
            text: what was written, up to and including one of the agent's stop strings; of a solver, after its last
                observation.
        """

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        """What the model is shown of a finished tool call, without fences.

        Args:
            status: "ok" or a failure. At "session_lost" nothing was run, and the variables of earlier code are gone.
            stdout: what the code printed.
            stderr: a traceback, or in words what happened; a model that can read should be shown it.
        """


class World(Protocol):
    """What the learner may know."""

    name: str

    @property
    def contract(self) -> Contract:
        """How this world's texts look."""

    def base_model(self) -> Path:
        """The Hugging Face folder of the base model. Raises ModelError when there is none."""

    def is_well_formed(self, question: str) -> bool:
        """Grammar only: true when the question is complete. Computes no answer."""

    def is_reserved(self, question: str) -> bool:
        """True when the question belongs to the meter's part of the world and must not be trained on."""

    def user_turns(self, question: str, most: int) -> tuple[str, ...]:
        """The user turns of a well-formed question, ``most`` at most: follow-ups depend on the answers before them."""

    def describe(self, question: str) -> dict[str, int | str]:
        """Grammar only: ``steps`` (0 when malformed) and ``topic``, for reports."""


class Meter(Protocol):
    """What only measuring code may know."""

    @property
    def knows_answers(self) -> bool:
        """Whether any task of this world has a known answer; without one nothing is called right or wrong."""

    def truth(self, task: Task) -> str | None:
        """The true answer (of a dialogue: to its last turn), or None when there is none."""

    def held_out(self, level: int, n: int, seed: int) -> list[Task]:
        """``n`` different reserved tasks of a level."""

    def dialogues(self, n: int, seed: int) -> dict[str, list[Task]]:
        """Named sets of ``n`` reserved tasks each of several user turns; none in a world that has none."""

    def transfer_sets(self, n: int, seed: int) -> dict[str, list[Task]]:
        """Named sets of ``n`` reserved tasks each, unlike what the base model was raised on."""
