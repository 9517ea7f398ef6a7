"""The text format of the open world: prompts as plain text or by a chat template, and what ends a text."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from coevolve.engine.chat import ChatTemplate
from coevolve.engine.vocabulary import Vocabulary
from coevolve.grading.extract import last_box
from coevolve.types import PROPOSER
from coevolve.worlds.base import NO_CONTEXT, PromptContext
from coevolve.worlds.open.observation import NOTHING_PRINTED as NOTHING_PRINTED
from coevolve.worlds.open.observation import observation
from coevolve.worlds.open.prompting import (
    CLOSE_QUESTION,
    LEVEL,
    QUESTION,
    TOPIC,
    AgentPrompts,
    Example,
    PromptFile,
    as_settings,
)

# Of {calls} in the system line of a solver, by ``tool.call_at``: when a program is run.
CALLS = {
    "output": ("is run as soon as the line ```output follows it, and what it prints is put there and closed with ```"),
    "fence": "is run as soon as it is closed, and what it prints follows between a line ```output and a line ```",
}
_COMPOSING = (
    " In the scratch-pad you may compute with Python: a program between a line ```python and a line ``` {calls}. "
    "A program shows values with print. The problem and its answer come after the last output."
)
_DIALOGUES = (
    " The problem may be a conversation: after its statement up to {more} further questions of the user, each of which "
    "needs the answer before it, each after a line of three hyphens (---), all of it between <question> and "
    "</question>. The final answer is that to the last of them."
)

# Of {programs}, by ``tool.state``: what one program knows of another.
PROGRAMS = {"stateless": "each starts from nothing", "session": "they share their variables"}
_BEFORE_FILES = ("agent0", "r-zero", "plain")  # named before prompts were files, without what only files can say


@dataclass(frozen=True, slots=True)
class Acting:
    """What prompts depend on besides the model.

    Args:
        tool: the solver has the Python tool.
        call_at, state: of that tool, ``tool.call_at`` and ``tool.state``.
        turns: user turns that a problem may have.
        composing: the proposer has the tool too.
    """

    tool: bool = True
    call_at: Literal["output", "fence"] = "output"
    state: Literal["stateless", "session"] = "stateless"
    turns: int = 1
    composing: bool = False

    def fill(self, system: str) -> str:
        """A system line with what is so in place of {calls} and {programs}."""
        return system.replace("{calls}", CALLS[self.call_at]).replace("{programs}", PROGRAMS[self.state])

    @property
    def more_for_proposers(self) -> str:
        """Additional instructions of a proposer."""
        dialogues = _DIALOGUES.replace("{more}", str(self.turns - 1)) if self.turns > 1 else ""
        return (self.fill(_COMPOSING) if self.composing else "") + dialogues


PLAIN_TOOL = Acting()
# What may stand between the brace of a box and the end of its line. The strings are looked for by every sampler.
_AFTER_BOX = ("", ".", "$", "$.", ".$", "$$", "\\)", "\\).", "\\]", " $$", " \\]", "**", "**.")
_LINE_ENDS = tuple(f"}}{rest}\n" for rest in _AFTER_BOX)
_BOX_LINE = re.compile(r"(.*\}(?:" + "|".join(map(re.escape, _AFTER_BOX)) + r"))\n", re.DOTALL)

_SAME_ERROR = "Write a new problem in which the same error would show itself."


class OpenContract:
    """Prompts of ``model.prompts`` for one model. Implements ``coevolve.worlds.base.Contract``.

    A text ends with an end token of the model, with the beginning of another turn, or with the line that holds a
    complete box (a proposer's: one after its question). The last two are for base models, which would otherwise
    continue."""

    tool_opening = "```python\n"

    def __init__(
        self, name: str, file: PromptFile, vocabulary: Vocabulary, chat: ChatTemplate | None, acting: Acting
    ) -> None:
        """
        Args:
            name: of the prompts.
            file: the prompts.
            vocabulary: of the model.
            chat: its template; without one prompts are plain text.
            acting: what the agents may do.

        Raises:
            ModelError: the template cannot be used.
            ValueError: the file has no prompts for a solver with the tool, or without it, as is asked for.
        """
        self._solver, self._proposer = file.solver_with(tool=acting.tool), file.proposer
        self._speakers, self._acting = (file.speakers[0], file.speakers[1]), acting
        self._beginning, self._chat = vocabulary.beginning, chat if file.form == "auto" else None
        self.refusal = file.refusal
        self.topics, self.levels = tuple(file.proposer.topics), tuple(file.proposer.levels)
        self.openings: Mapping[str, Sequence[str]] = file.proposer.openings
        self.proposer_opening = self.opening(PROPOSER)
        proposer = self.prompt(PROPOSER)
        begins = [f"\n{self._speakers[0]}:"]
        if self._chat is not None:  # ends of turns are end tokens then; what begins one is none
            known = {vocabulary.texts[id] for id in vocabulary.ends} | {vocabulary.beginning}
            begins = sorted(s for s in vocabulary.special - known if s in proposer)
        self._turns = tuple(begins)
        self._stops = (*self._turns, *_LINE_ENDS)
        texts = [proposer, self._written(self._solver, QUESTION), *self._stops]
        texts += [] if name in _BEFORE_FILES else [json.dumps(as_settings(file), sort_keys=True)]
        form = "chat" if self._chat is not None else "text"
        self.name = f"{name}-{form}-{hashlib.sha256(chr(31).join(texts).encode()).hexdigest()[:8]}"

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        """The agent's instruction, worked examples, then the task: to answer a question, or to write one."""
        if agent != PROPOSER:
            return self._written(self._solver, self._solver.task.replace(QUESTION, context.question))
        topic, level = context.topic or next(iter(self.topics), ""), context.level or next(iter(self.levels), "")
        task = self._proposer.task.replace(TOPIC, topic).replace(LEVEL, level) + self._acting.more_for_proposers
        kind = f"\n\nIts kind: {context.kind}." if context.kind else ""
        shown = "".join(f"\n\nA problem that exists already:\n{text}" for text in context.examples)
        if context.failed:
            shown += f"\n\nA problem and a wrong answer to it:\n{context.question}\n\n{context.failed}\n\n{_SAME_ERROR}"
        return self._written(self._proposer, task + kind + shown) + self.proposer_opening + context.opening

    def opening(self, agent: str) -> str:
        """What the agent's text is made to begin with; in plain text it stands behind a space, as examples do."""
        opening = (self._proposer if agent == PROPOSER else self._solver).opening
        return f" {opening}" if opening and self._chat is None else opening

    def stops(self, agent: str) -> tuple[str, ...]:
        """Beginnings of another turn, and ends of lines that may hold a complete box; the same for all agents."""
        return self._stops

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """The end of the answer, unless it stands there, the user's turn, and the beginning of the next answer."""
        if self._chat is None:
            first, second = self._speakers
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

    def _written(self, agent: AgentPrompts, task: str) -> str:
        """A prompt up to the start of the model's turn, with the family's leading tokens exactly once."""
        system = self._acting.fill(agent.system)
        if self._chat is None:
            first, second = self._speakers
            lead = f"{system}\n\n" if system else ""
            shown = "".join(f"{first}: {x.user}\n{second}: {x.assistant}\n\n" for x in agent.examples)
            text = f"{lead}{shown}{first}: {task}\n{second}:"
        else:
            text = self._chat.render(_turns(system, agent.examples, task), answer_next=True)
        return text if text.startswith(self._beginning) else self._beginning + text


def _turns(system: str, examples: Sequence[Example], task: str) -> Sequence[dict[str, str]]:
    turns = [{"role": "system", "content": system}] if system else []
    for example in examples:
        turns += [{"role": "user", "content": example.user}, {"role": "assistant", "content": example.assistant}]
    return [*turns, {"role": "user", "content": task}]
