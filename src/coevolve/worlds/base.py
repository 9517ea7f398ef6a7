"""What a world is: one view for the learner, another for the meter. They never mix.

Everything that learns sees a ``World``, which can tell a well-formed question from a malformed one. Only evaluation
and reports see a ``Meter``, which knows the true answers. A test walks the imports and fails when learning code can
reach the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from coevolve.config import EvaluationSection
from coevolve.errors import ModelError
from coevolve.grading.grade import Kind
from coevolve.types import Task


@dataclass(frozen=True, slots=True)
class PromptContext:
    """What a prompt depends on beside its agent."""

    question: str = ""  # to be answered; of a dialogue its first turn
    examples: tuple[str, ...] = ()  # texts to show, e.g. tasks that exist already
    kind: str = ""  # the family of tasks to write, or of the one to answer; empty: any
    topic: str = ""  # that a proposer is asked for, one of the contract's
    level: str = ""  # likewise: how hard
    opening: str = ""  # words that its question is made to begin with, behind the contract's own opening
    failed: str = ""  # a wrong answer to ``question``: a proposer is asked for a problem that shows the same error


NO_CONTEXT = PromptContext()


class Contract(Protocol):
    """The format of the texts that this base model was pretrained on. Text in, text out; no tokens, no answers."""

    name: str
    tool_opening: str  # text that commits an answer to its first tool call, for the forced-tool control
    proposer_opening: str  # the end of the proposer's prompt that is part of what it writes
    refusal: str  # what a solver may box where a question cannot be answered; empty: it is told of nothing of the kind
    topics: tuple[str, ...]  # that a proposer is asked for in turn; none: its prompt names no topic
    levels: tuple[str, ...]  # likewise: how hard
    openings: Mapping[str, Sequence[str]]  # by topic: words of which its questions begin with one, drawn at random

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        """The prompt that makes the model write a task (a proposer), or answer one (anybody else).

        Raises:
            ConfigError: the texts of this world cannot say what the context asks for.
        """

    def opening(self, agent: str) -> str:
        """What an agent's text is made to begin with. A proposer's is the end of its prompt, ``proposer_opening``;
        anybody else's is appended to the prompt as tokens that were not sampled."""

    def stops(self, agent: str) -> tuple[str, ...]:
        """Strings at which the loop checks whether an agent's text is complete; output fences are not among them."""

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """The text between an answer and the next one: a further user turn.

        Args:
            ended: the answer ended with an end token, which is already in the text."""

    def finished(self, agent: str, text: str) -> str | None:
        """The text of an agent up to its end; None if it is not finished.

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
            stderr: tracebacks, warnings, or in words what happened; a model that can read should be shown what
                matters of it. Where a result is too long and ends in what it is without ``stdout``, more of that end
                is kept.
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

    def check(self, task: Task, answer: str) -> float | None:
        """The score of an answer, 0 to 1, where the world itself is the judge: a program that runs, a game that is won.

        Learners may see it, unlike anything a meter knows. None where only a meter could tell.
        """


def shipped_model(folder: Path, world: str) -> Path:
    """The folder of a base model that comes with the package.

    Raises:
        ModelError: files of it are missing.
    """
    names = ("config.json", "model.safetensors", "tokenizer.json")
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise ModelError(
            f"The base model of world {world} lacks {', '.join(missing)}.",
            where=str(folder),
            fix=f"install the package again, or build the model with `coevolve world build --world {world} --out DIR` "
            "and set model.path=DIR",
        )
    return folder


@dataclass(frozen=True, slots=True)
class Problem:
    """A task and its true answer; None when there is none, and then no answer is right."""

    task: Task
    truth: str | None  # of a choice its letter
    kind: Kind = Kind.MATH  # how an answer is compared with the truth
    options: tuple[str, ...] = ()  # the texts of A, B, ... of a choice; the question shows them already
    level: str = ""  # how hard, as its source says; empty where it says nothing
    topic: str = ""  # what it is about, as its source says
    scorer: Callable[[str], bool] | None = None  # its source's own, where more than one answer is right


HELD_OUT, TRANSFER, SUITES = "held_out", "transfer", "suites"  # parts of an evaluation


@dataclass(frozen=True, slots=True)
class Suite:
    """Problems of one kind on which every policy of a run is measured. Nothing that learns may see one.

    Suites that are levels of difficulty are added up over their part of the evaluation and broken down by level; any
    other suite has figures of its own.
    """

    part: str  # of the evaluation and of its row in metrics.jsonl; one word without "-"
    key: str  # within the part: "1", "paraphrase"
    size: int  # number of problems
    samples: int  # answers per problem at the sampling temperature; 0: the greedy ones stand in their place
    load: Callable[[], Sequence[Problem]]  # called when the problems are needed, so that planning costs nothing
    greedy: bool = False  # one greedy answer per problem as well
    is_level: bool = False  # the key is a level of difficulty
    turns: int = 1  # user turns of a problem, each of which is answered

    @property
    def prompts(self) -> int:
        """Prompts per evaluation of a policy."""
        return self.size * ((self.samples > 0) + self.greedy)

    @property
    def answers(self) -> int:
        """Answers per evaluation of a policy."""
        return self.size * (self.samples + self.greedy)


class Meter(Protocol):
    """What only measuring code may know."""

    @property
    def knows_labels(self) -> bool:
        """Whether true answers of written tasks can be known, of all or of some, so that labels can be judged.

        Says nothing of suites: their problems have true answers in every world.
        """

    @property
    def knows_all_labels(self) -> bool:
        """Whether a task without a true answer has none, so that no label of it is right.

        Otherwise its answer is only unknown, and its label is left out where labels are judged.
        """

    def truth(self, task: Task) -> str | None:
        """The true answer (of a dialogue: to its last turn), or None when there is none or it is not known."""

    def suites(self, section: EvaluationSection, seed: int) -> Sequence[Suite]:
        """All problems that a policy is measured on, in order; none where a world has none of its own.

        Args:
            section: which sets are wanted, and how large.
            seed: equal seeds give equal problems.
        """
