"""The learner's view of the world of programs: prompts, base model, and the sandbox as the judge of every answer."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from coevolve.config import SandboxSection
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.types import Task
from coevolve.worlds.base import shipped_model
from coevolve.worlds.code.contract import CodeContract
from coevolve.worlds.code.items import DEDUCTION, INDUCTION, KINDS, Proposal, is_reserved, read_inputs, read_written
from coevolve.worlds.code.judging import Verdict, Work, judge
from coevolve.worlds.code.running import Runner
from coevolve.worlds.code.words import WordsContract

ASSETS = Path(__file__).parent / "assets"


class CodeWorld:
    """Deduction, abduction and induction over small programs. Implements ``coevolve.worlds.base.World``.

    Args:
        model: folder of another base model than the embedded one.
        sandbox: where programs run; opened when the first one does.
        cache: results of identical runs that are remembered.
        plain: prompts in plain language, for a model that can read them; else those of the embedded one.
    """

    name = "code"
    example = "def f(a):\n    b = a * 3\n    return b + 2\nf(4) == ?"

    def __init__(
        self,
        model: Path | None = None,
        sandbox: SandboxSection | None = None,
        cache: int = 0,
        *,
        plain: bool = False,
    ) -> None:
        self.runner = Runner(sandbox or SandboxSection(), cache)
        self._model, self._plain = model, plain

    @cached_property
    def contract(self) -> CodeContract:
        """How this world's texts look; in plain language they begin as those of the model's family do."""
        return WordsContract(read_vocabulary(self.base_model()).beginning) if self._plain else CodeContract()

    def base_model(self) -> Path:
        """The folder shipped with the package, or the one given. Raises ModelError when shipped files are missing."""
        return self._model or shipped_model(ASSETS, self.name)

    def is_well_formed(self, question: str) -> bool:
        """Whether a text is a task as proposers write it (``Task.written``), of any type."""
        return self._kind(question) is not None

    def is_reserved(self, question: str) -> bool:
        """Whether the program of such a text belongs to the meter."""
        kind = self._kind(question)
        return kind is not None and is_reserved(read_written(kind, question).program)

    def proposal(self, kind: str, program: str, text: str) -> Proposal:
        """The task that a text of a proposer stands for.

        Args:
            kind: that it was asked for.
            program: that an induction task was to be about.
            text: what was written, its closing tag included.

        Raises:
            ValueError: it is none; says why.
        """
        written = text.partition(self.contract.close)[0]
        return read_inputs(program, written) if kind == INDUCTION else read_written(kind, written)

    def user_turns(self, question: str, most: int) -> tuple[str, ...]:
        """Always one."""
        return (question,)

    def describe(self, question: str) -> dict[str, int | str]:
        """``steps`` (lines of the program) and ``topic`` (the type of task); 0 and "malformed" when it is none."""
        kind = self._kind(question)
        if kind is None:
            return {"steps": 0, "topic": "malformed"}
        return {"steps": read_written(kind, question).program.count("\n"), "topic": kind}

    def check(self, task: Task, answer: str) -> float | None:
        """1 for a right answer, else 0: the program runs in the sandbox. None for a task of another world."""
        if task.kind not in KINDS or task.written is None:
            return None
        proposal = read_written(task.kind, task.written)
        (outputs,) = self.runner.outputs([(proposal.program, proposal.inputs)])
        known = tuple(output for output in outputs if output is not None)
        if len(known) != len(outputs):
            return 0.0
        (verdict,) = judge(self.runner, [Work(proposal, known, answer)])
        return float(verdict is Verdict.RIGHT)

    @staticmethod
    def _kind(question: str) -> str | None:
        """The type of a written task: an induction task has a message, and the two others look alike."""
        for kind in (INDUCTION, DEDUCTION):
            try:
                read_written(kind, question)
            except ValueError:
                continue
            return kind
        return None
