"""How the texts of the miniature world look: one question tag, then steps, then a box."""

from __future__ import annotations

import re

from coevolve.types import Role, Task

OPEN, CLOSE = "<question>", "</question>"
ERROR = "error"
MAX_PRINTED_DIGITS = 9
_PRINTED = re.compile(rf"-?[0-9]{{1,{MAX_PRINTED_DIGITS}}}")


class MiniatureContract:
    """Prompts and observations of the miniature base model."""

    name = "miniature"
    tool_opening = "a:\n```python\n"
    proposer_opening = OPEN
    proposer_stops: tuple[str, ...] = (CLOSE,)
    solver_stops: tuple[str, ...] = ()

    def proposer_prompt(self) -> str:
        """An open question tag: the model goes on with a question."""
        return OPEN

    def solver_prompt(self, task: Task) -> str:
        """The question in its tag, as in the corpus."""
        return self.follow_up(task.turns[0], ended=True)

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """A turn looks like any question; only an end token ends an answer here."""
        return f"{OPEN}{turn}{CLOSE}\n"

    def finished(self, role: Role, text: str) -> str | None:
        """Every pause is an end: a question is complete with its closing tag."""
        return text

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        """The printed integer, or ``error`` for a failure and for anything this vocabulary cannot say."""
        printed = stdout.strip()
        return printed if status == "ok" and _PRINTED.fullmatch(printed) else ERROR
