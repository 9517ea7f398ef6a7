"""The learner's view of the miniature world: contract, grammar and base model, but no answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from coevolve.errors import ConfigError
from coevolve.types import PROPOSER, Task
from coevolve.worlds.base import NO_CONTEXT, PromptContext, shipped_model
from coevolve.worlds.miniature import grammar

OPEN, CLOSE = "<question>", "</question>"
ERROR = "error"
MAX_PRINTED_DIGITS = 9
_PRINTED = re.compile(rf"-?[0-9]{{1,{MAX_PRINTED_DIGITS}}}")


class MiniatureContract:
    """Prompts and observations of the miniature base model."""

    name = "miniature"
    tool_opening = "a:\n```python\n"
    proposer_opening = OPEN
    openings: Mapping[str, Sequence[str]] = {}
    refusal = ""
    topics: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        """An open question tag, with which the model goes on; the question in its tag, as in the corpus, to answer it.
        A question that was failed stands before the open tag, with the answer to it.

        Raises:
            ConfigError: a proposer is to be shown or told something, which this vocabulary cannot say.
        """
        if agent != PROPOSER:
            return self.follow_up(context.question, ended=True)
        if context.examples or context.kind:
            raise ConfigError("the proposer of the miniature world has one prompt", fix="use world=open")
        return f"{self.follow_up(context.question, ended=True)}{context.failed}\n{OPEN}" if context.failed else OPEN

    def opening(self, agent: str) -> str:
        """The tag with which every question begins; an answer begins as it likes."""
        return self.proposer_opening if agent == PROPOSER else ""

    def stops(self, agent: str) -> tuple[str, ...]:
        """A question ends with its closing tag, an answer with an end token only."""
        return (CLOSE,) if agent == PROPOSER else ()

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """A turn looks like any question; only an end token ends an answer here."""
        return f"{OPEN}{turn}{CLOSE}\n"

    def finished(self, agent: str, text: str) -> str | None:
        """Every pause is an end: a question is complete with its closing tag."""
        return text

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        """The printed integer, or ``error`` for a failure and for anything this vocabulary cannot say."""
        printed = stdout.strip()
        return printed if status == "ok" and _PRINTED.fullmatch(printed) else ERROR


ASSETS = Path(__file__).parent / "assets"
BASES = {  # other base models, by their names in model.path
    "miniature-dialogues": ASSETS.with_name("assets_dialogues"),
    "miniature-early": ASSETS.with_name("assets_early"),
}


class MiniatureWorld:
    """Chains of integer operations in words. Implements ``coevolve.worlds.base.World``."""

    name = "miniature"
    example = "Let a = 43 * 80. Let b = the digit sum of a. Find b."

    def __init__(self, model: Path | None = None) -> None:
        """
        Args:
            model: folder of another base model than the embedded one.
        """
        self.contract = MiniatureContract()
        self._model = model

    def base_model(self) -> Path:
        """The folder shipped with the package, or the one given. Raises ModelError when shipped files are missing."""
        folder = self._model or ASSETS
        return shipped_model(folder, self.name) if folder in (ASSETS, *BASES.values()) else folder

    def is_well_formed(self, question: str) -> bool:
        """Whether the question is complete and bounded."""
        return grammar.is_well_formed(question)

    def is_reserved(self, question: str) -> bool:
        """Whether the question belongs to the meter."""
        return grammar.is_reserved(question)

    def user_turns(self, question: str, most: int) -> tuple[str, ...]:
        """The chain as a dialogue: one step in each follow-up."""
        return grammar.user_turns(question, most)

    def describe(self, question: str) -> dict[str, int | str]:
        """``steps`` and ``topic`` (the last operation); 0 and "malformed" when there is no parse."""
        used = grammar.operations_used(question)
        return {"steps": len(used), "topic": used[-1] if used else "malformed"}

    def check(self, task: Task, answer: str) -> None:
        """None: only the meter can tell."""
