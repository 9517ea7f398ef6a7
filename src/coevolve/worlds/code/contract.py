"""The prompts of the world of programs, in the tokens of its own base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coevolve.types import PROPOSER
from coevolve.worlds.base import NO_CONTEXT, PromptContext
from coevolve.worlds.code.items import DEDUCTION

OPEN, CLOSE = "<question>", "</question>"


class CodeContract:
    """Prompts of this world's base model, in the tokens of its textbook."""

    name = "code"
    tool_opening = ""
    proposer_opening = OPEN
    close = CLOSE  # ends what a proposer writes
    openings: Mapping[str, Sequence[str]] = {}
    refusal = ""
    topics: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        """A proposer is shown examples and told the type of the task to write, anybody else the question."""
        if agent != PROPOSER:
            return self.follow_up(context.question, ended=True)
        shown = "".join(f"{OPEN}{text}{CLOSE}\n" for text in context.examples)
        return f"{shown}{context.kind or DEDUCTION}{OPEN}"

    def opening(self, agent: str) -> str:
        """The tag with which every task begins; an answer begins as it likes."""
        return self.proposer_opening if agent == PROPOSER else ""

    def stops(self, agent: str) -> tuple[str, ...]:
        """A task ends with its closing tag, an answer with an end token only."""
        return (self.close,) if agent == PROPOSER else ()

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """A turn looks like any question."""
        return f"{OPEN}{turn}{CLOSE}\n"

    def finished(self, agent: str, text: str) -> str | None:
        """Every pause is an end."""
        return text

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        """What was printed; the base model knows no tool."""
        return stdout.strip() if status == "ok" else status
