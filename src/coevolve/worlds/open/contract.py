"""How texts look in the open world: prompts as plain text or by a chat template, and what ends a text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from coevolve.engine.chat import ChatTemplate
from coevolve.engine.vocabulary import Vocabulary
from coevolve.grading.extract import last_boxed
from coevolve.types import Role, Task
from coevolve.worlds.open.prompts import CONTRACTS

NOTHING_PRINTED = "(nothing was printed)"
CLOSE_QUESTION = "</question>"
# What may stand between the brace of a box and the end of its line. The strings are looked for by every sampler.
_AFTER_BOX = ("", ".", "$", "$.", ".$", "$$", "\\)", "\\).", "\\]", " $$", " \\]", "**", "**.")
_LINE_ENDS = tuple(f"}}{rest}\n" for rest in _AFTER_BOX)
_BOX_LINE = re.compile(r"(.*\}(?:" + "|".join(map(re.escape, _AFTER_BOX)) + r"))\n", re.DOTALL)


class OpenContract:
    """Prompts of ``model.contract`` for one model. Implements ``coevolve.worlds.base.Contract``.

    A text ends with an end token of the model, with the beginning of another turn, or with the line that holds a
    complete box (a proposer's: one after its question). The last two are for base models, which write on otherwise.
    """

    tool_opening = "```python\n"
    proposer_opening = ""

    def __init__(
        self, name: str, vocabulary: Vocabulary, chat: ChatTemplate | None, *, more: str, programs: str
    ) -> None:
        """
        Args:
            name: one of ``CONTRACTS``.
            vocabulary: of the model.
            chat: its template; without one prompts are plain text.
            more: what proposers are told besides.
            programs: what one program of an answer knows of another, in words.

        Raises:
            ModelError: the template cannot be used.
        """
        self._prompts = CONTRACTS[name]
        self._solver = self._prompts.solver.replace("{programs}", programs)
        self._beginning, self._chat = vocabulary.beginning, chat
        self._proposer = self._written(self._prompts.proposer, self._prompts.proposer_task + more)
        begins = [f"\n{self._prompts.speakers[0]}:"]
        if chat is not None:  # ends of turns are end tokens then; what begins one is none
            known = {vocabulary.texts[id] for id in vocabulary.ends} | {vocabulary.beginning}
            begins = sorted(s for s in vocabulary.special - known if s in self._proposer)
        self._turns = tuple(begins)
        self.solver_stops = self.proposer_stops = (*self._turns, *_LINE_ENDS)
        texts = "\x1f".join((self._proposer, self._written(self._solver, "{question}"), *self.solver_stops))
        form = "chat" if chat is not None else "text"
        self.name = f"{name}-{form}-{hashlib.sha256(texts.encode()).hexdigest()[:8]}"

    def proposer_prompt(self) -> str:
        """The prompt that makes the model write a question."""
        return self._proposer

    def solver_prompt(self, task: Task) -> str:
        """The prompt that makes the model answer a task."""
        return self._written(self._solver, self._prompts.solver_task.replace("{question}", task.turns[0]))

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """The end of the answer, unless it stands there, the user's turn, and the beginning of the next answer."""
        if self._chat is None:
            first, second = self._prompts.speakers
            return f"\n\n{first}: {turn}\n{second}:"
        return self._chat.after_answer(turn, ended=ended)

    def finished(self, role: Role, text: str) -> str | None:
        """The text before another turn, or with the line of its box; None where neither ends it."""
        for turn in self._turns:
            before, found, _ = text.partition(turn)
            if found:
                return before
        line = _BOX_LINE.match(text)
        if line is None:
            return None
        body = line[1]
        start = body.rfind("\\boxed{")
        boxed_last = start >= 0 and "\n" not in body[start:] and last_boxed(body) is not None
        asked = role is Role.SOLVER or CLOSE_QUESTION in body[:start]
        return body if boxed_last and asked else None

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        """What was printed, then the last line of what went wrong; words where there is neither."""
        wrong = "" if status == "ok" else _last_line(stderr) or f"the program ended: {status}"
        return "\n".join(part for part in (stdout.strip("\n"), wrong) if part) or NOTHING_PRINTED

    def _written(self, instruction: str, task: str) -> str:
        """A prompt up to where the model's turn begins, with the tokens that its family puts first exactly once."""
        if self._chat is None:
            first, second = self._prompts.speakers
            lead = f"{instruction}\n\n" if instruction else ""
            text = f"{lead}{first}: {task}\n{second}:"
        else:
            turns = _turns(instruction, task)
            text = self._chat.render(turns, answer_next=True)
        return text if text.startswith(self._beginning) else self._beginning + text


def _turns(instruction: str, task: str) -> Sequence[dict[str, str]]:
    system = [{"role": "system", "content": instruction}] if instruction else []
    return [*system, {"role": "user", "content": task}]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
