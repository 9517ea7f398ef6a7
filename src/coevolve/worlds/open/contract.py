"""The text format of the open world: prompts as plain text or by a chat template, and what ends a text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from coevolve.engine.chat import ChatTemplate
from coevolve.engine.vocabulary import Vocabulary
from coevolve.grading.extract import last_box
from coevolve.types import PROPOSER
from coevolve.worlds.base import NO_CONTEXT, PromptContext
from coevolve.worlds.open.observation import NOTHING_PRINTED as NOTHING_PRINTED
from coevolve.worlds.open.observation import observation

BOX = "\\boxed{}"


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts of one contract.

    ``solver_task`` holds ``{question}``, ``solver`` may hold ``{programs}``. A model without a chat template is shown
    the instruction, then the task and the answer under the two names of ``speakers``.
    """

    solver: str  # instruction of a solver before its task; may be empty
    solver_task: str
    proposer: str  # instruction of a proposer
    proposer_task: str
    speakers: tuple[str, str] = ("User", "Assistant")


_WRITE_A_PROBLEM = (
    "You set problems for a mathematics competition. Invent one that is new: not a known contest problem, not an "
    "exercise from a book, not a famous puzzle. Any field of mathematics will do. Fewer than three in ten advanced "
    "school students should be able to solve it. It has one answer that can be checked, a number or a short "
    "expression, and it asks for no proof.\n\n"
)
_TWO_PARTS = (
    "the statement, complete in itself, between <question> and </question>, and on the next line its final answer as "
    f"{BOX}. Nothing follows."
)

_TOOL = (
    "compute with Python: a program between a line ```python and a line ``` is run as soon as the line ```output "
    "follows it, and what it prints is put there and closed with ```. A program shows values with print."
)
_COMPOSING = f" In the scratch-pad you may {_TOOL} The problem and its answer come after the last output."
_DIALOGUES = (
    " The problem may be a conversation: after its statement up to {more} further questions of the user, each of which "
    "needs the answer before it, each after a line of three hyphens (---), all of it between <question> and "
    "</question>. The final answer is that to the last of them."
)

# By ``tool.state``: what one program knows of another.
PROGRAMS = {"stateless": "each starts from nothing", "session": "they share their variables"}

CONTRACTS = {
    "agent0": Prompts(
        solver=(
            "A conversation between a user and an assistant. The user asks a question. The assistant first thinks it "
            f"through, step by step, and then answers. While it thinks it may {_TOOL} The assistant reads the output, "
            "goes on, and may run more programs; {programs}. Its last line is the final answer alone, "
            f"as {BOX}."
        ),
        solver_task="{question}",
        proposer=(
            _WRITE_A_PROBLEM + "Use a scratch-pad first: collect ideas, choose one, solve it and look for mistakes. "
            f"Then write exactly two parts: {_TWO_PARTS}"
        ),
        proposer_task="Write one new problem: scratch-pad first, then the two parts.",
    ),
    "r-zero": Prompts(
        solver=f"Reason step by step. The last line is the final answer alone, as {BOX}.",
        solver_task="{question}",
        proposer=_WRITE_A_PROBLEM + f"Write exactly two parts: {_TWO_PARTS}",
        proposer_task="Write one new problem.",
    ),
    "plain": Prompts(
        solver="",
        solver_task=f"{{question}}\nGive the final answer as {BOX}.",
        proposer="",
        proposer_task=f"Write a problem in mathematics: {_TWO_PARTS}",
        speakers=("Question", "Answer"),
    ),
}


def more_for_proposers(*, turns: int, composing: bool) -> str:
    """Additional instructions of a proposer.

    Args:
        turns: user turns that a problem may have.
        composing: it may use the tool.
    """
    dialogues = _DIALOGUES.replace("{more}", str(turns - 1)) if turns > 1 else ""
    return (_COMPOSING if composing else "") + dialogues


CLOSE_QUESTION = "</question>"
# What may stand between the brace of a box and the end of its line. The strings are looked for by every sampler.
_AFTER_BOX = ("", ".", "$", "$.", ".$", "$$", "\\)", "\\).", "\\]", " $$", " \\]", "**", "**.")
_LINE_ENDS = tuple(f"}}{rest}\n" for rest in _AFTER_BOX)
_BOX_LINE = re.compile(r"(.*\}(?:" + "|".join(map(re.escape, _AFTER_BOX)) + r"))\n", re.DOTALL)


class OpenContract:
    """Prompts of ``model.contract`` for one model. Implements ``coevolve.worlds.base.Contract``.

    A text ends with an end token of the model, with the beginning of another turn, or with the line that holds a
    complete box (a proposer's: one after its question). The last two are for base models, which would otherwise
    continue."""

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
        self._more = more
        proposer = self.prompt(PROPOSER)
        begins = [f"\n{self._prompts.speakers[0]}:"]
        if chat is not None:  # ends of turns are end tokens then; what begins one is none
            known = {vocabulary.texts[id] for id in vocabulary.ends} | {vocabulary.beginning}
            begins = sorted(s for s in vocabulary.special - known if s in proposer)
        self._turns = tuple(begins)
        self._stops = (*self._turns, *_LINE_ENDS)
        texts = "\x1f".join((proposer, self._written(self._solver, "{question}"), *self._stops))
        form = "chat" if chat is not None else "text"
        self.name = f"{name}-{form}-{hashlib.sha256(texts.encode()).hexdigest()[:8]}"

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        """The agent's instruction, then the task: to answer a question, or to write one."""
        if agent != PROPOSER:
            return self._written(self._solver, self._prompts.solver_task.replace("{question}", context.question))
        kind = f"\n\nIts kind: {context.kind}." if context.kind else ""
        shown = "".join(f"\n\nA problem that exists already:\n{text}" for text in context.examples)
        return self._written(self._prompts.proposer, self._prompts.proposer_task + self._more + kind + shown)

    def stops(self, agent: str) -> tuple[str, ...]:
        """Beginnings of another turn, and ends of lines that may hold a complete box; the same for all agents."""
        return self._stops

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """The end of the answer, unless it stands there, the user's turn, and the beginning of the next answer."""
        if self._chat is None:
            first, second = self._prompts.speakers
            return f"\n\n{first}: {turn}\n{second}:"
        return self._chat.after_answer(turn, ended=ended)

    def finished(self, agent: str, text: str) -> str | None:
        """The text before another turn, or with the line of its box; None where neither ends it."""
        for turn in self._turns:
            before, found, _ = text.partition(turn)
            if found:
                return before
        line = _BOX_LINE.match(text)
        if line is None:
            return None
        body = line[1]
        box = last_box(body)
        if box is None or not box.content or "\n" in body[box.start :]:
            return None
        return body if agent != PROPOSER or CLOSE_QUESTION in body[: box.start] else None

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        """What was printed, what went wrong, and how the program ended; a note where there is nothing to say."""
        return observation(status, stdout, stderr)

    def _written(self, instruction: str, task: str) -> str:
        """A prompt up to the start of the model's turn, with the family's leading tokens exactly once."""
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
