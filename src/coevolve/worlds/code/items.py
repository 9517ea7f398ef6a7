"""The three types of task over a program p, an input i and an output o = p(i), and their texts.

Deduction asks for o, abduction for some input that gives o, induction for a program that gives the outputs of inputs
which it is not shown. What a task was made of stands in ``Task.written``; what the solver reads in its only turn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from coevolve.types import Origin, Task
from coevolve.worlds.code.language import ENTRY, canonical_input, canonical_program

DEDUCTION, ABDUCTION, INDUCTION = KINDS = ("deduction", "abduction", "induction")
SHOWN_PAIRS = 5  # of an induction task; the others are hidden
PAIRS = 10
_RESERVED_MODULUS = 16
_MESSAGE = "# "
LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a proposer wrote, in canonical spelling, before anything was run.

    Args:
        kind: type of the task.
        program: defines ``f``.
        inputs: arguments of a call each; one, or PAIRS of an induction task.
        message: what an induction task says of its program; else empty.
    """

    kind: str
    program: str
    inputs: tuple[str, ...]
    message: str = ""

    @property
    def key(self) -> tuple[str, str, tuple[str, ...]]:
        """Equal for equal tasks: of one type, with equal programs and inputs."""
        return self.kind, self.program, self.inputs

    @property
    def written(self) -> str:
        """The whole of it as a text."""
        message = f"{_MESSAGE}{self.message}\n" if self.kind == INDUCTION else ""
        return "\n".join([message + self.program, *(f"{ENTRY}({given})" for given in self.inputs)])


@dataclass(frozen=True, slots=True)
class Triplet:
    """A proposal with what its program gives."""

    proposal: Proposal
    outputs: tuple[str, ...]  # literals, of the inputs in order

    @property
    def question(self) -> str:
        """What a solver is shown."""
        proposal = self.proposal
        if proposal.kind == DEDUCTION:
            return f"{proposal.program}\n{ENTRY}({proposal.inputs[0]}) == ?"
        if proposal.kind == ABDUCTION:
            return f"{proposal.program}\n{ENTRY}(?) == {self.outputs[0]}"
        return "\n".join([proposal.message, *self._calls(SHOWN_PAIRS)])

    @property
    def shown(self) -> str:
        """As an example for a proposer."""
        return "\n".join([self.proposal.program, *self._calls(1)])

    def _calls(self, n: int) -> list[str]:
        pairs = zip(self.proposal.inputs[:n], self.outputs[:n], strict=True)
        return [f"{ENTRY}({given}) == {output}" for given, output in pairs]

    def task(self, id: str, origin: Origin, *, measuring_only: bool = False) -> Task:
        """The task of it."""
        proposal = self.proposal
        return Task(
            id, (self.question,), proposal.kind, origin, written=proposal.written, measuring_only=measuring_only
        )


def read_written(kind: str, text: str) -> Proposal:
    """The proposal of ``Task.written``, or of what a proposer wrote.

    Raises:
        ValueError: it is none; says why.
    """
    lines = text.strip("\n").split("\n")
    message = ""
    if kind == INDUCTION:
        if not lines[0].startswith(_MESSAGE):
            raise ValueError("it begins with no message")
        message, lines = lines[0].removeprefix(_MESSAGE).strip(), lines[1:]
    calls: list[str] = []
    while lines and (call := _call(lines[-1])) is not None:
        calls.append(call)
        lines.pop()
    return proposal(kind, "\n".join(lines), calls[::-1], message)


def read_inputs(program: str, text: str) -> Proposal:
    """The proposal of an induction task: a message and inputs, to a program that was given.

    Raises:
        ValueError: it is none; says why.
    """
    message, *lines = text.strip("\n").split("\n")
    calls = [call for line in lines if (call := _call(line)) is not None]
    if len(calls) != len(lines):
        raise ValueError("a line is no call")
    return proposal(INDUCTION, program, calls, message.removeprefix(_MESSAGE).strip())


def proposal(kind: str, program: str, inputs: list[str], message: str = "") -> Proposal:
    """A proposal in canonical spelling.

    Raises:
        ValueError: a part of it is not what it should be; says why.
    """
    given = [canonical_input(text) for text in inputs]
    known = [text for text in given if text is not None]
    wanted = PAIRS if kind == INDUCTION else 1
    if len(known) != len(given) or len(known) != wanted:
        raise ValueError(f"it has {len(known)} inputs that are literals, not {wanted}")
    if kind == INDUCTION and len(set(known)) != wanted:
        raise ValueError("two of its inputs are equal")
    if kind == INDUCTION and not 0 < len(message) <= LONGEST_MESSAGE:
        raise ValueError(f"its message has not between 1 and {LONGEST_MESSAGE} characters")
    return Proposal(kind, canonical_program(program), tuple(known), message)


def is_reserved(program: str) -> bool:
    """Whether a program in canonical spelling belongs to the meter: its SHA-256 begins with a byte divisible by 16."""
    return hashlib.sha256(program.encode()).digest()[0] % _RESERVED_MODULUS == 0


def _call(line: str) -> str | None:
    """``4`` of ``f(4)``."""
    line = line.strip()
    return line[len(ENTRY) + 1 : -1] if line.startswith(f"{ENTRY}(") and line.endswith(")") else None
