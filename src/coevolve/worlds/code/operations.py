"""The operations of the world's textbook and of its held-out programs: wording, code and meaning, one row each.

Their meaning is true answers: nothing that learns may import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Value = int | bool | list[int]
Type = Literal["int", "list", "bool"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a program.

    Args:
        word: in the message of an induction task.
        code: with the slots ``{v}`` for the value and ``{n}`` for the constant.
        takes, gives: types.
        constants: what ``{n}`` may be; empty where there is none.
        apply: its meaning.
    """

    word: str
    code: str
    takes: Type
    gives: Type
    constants: Sequence[int]
    apply: Callable[[Value, int], Value]


def _whole(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _items(value: Value) -> list[int]:
    assert isinstance(value, list)
    return value


OPERATIONS: tuple[Operation, ...] = (
    Operation("add", "{v} + {n}", "int", "int", range(1, 10), lambda v, n: _whole(v) + n),
    Operation("subtract", "{v} - {n}", "int", "int", range(1, 10), lambda v, n: _whole(v) - n),
    Operation("multiply", "{v} * {n}", "int", "int", range(2, 6), lambda v, n: _whole(v) * n),
    Operation("divide", "{v} // {n}", "int", "int", range(2, 6), lambda v, n: _whole(v) // n),
    Operation("remainder", "{v} % {n}", "int", "int", range(3, 10), lambda v, n: _whole(v) % n),
    Operation("compare", "{v} > {n}", "int", "bool", range(2, 20), lambda v, n: _whole(v) > n),
    Operation("sum", "sum({v})", "list", "int", (), lambda v, n: sum(_items(v))),
    Operation("length", "len({v})", "list", "int", (), lambda v, n: len(_items(v))),
    Operation("least", "min({v})", "list", "int", (), lambda v, n: min(_items(v))),
    Operation("greatest", "max({v})", "list", "int", (), lambda v, n: max(_items(v))),
    Operation("first", "{v}[0]", "list", "int", (), lambda v, n: _items(v)[0]),
    Operation("last", "{v}[-1]", "list", "int", (), lambda v, n: _items(v)[-1]),
    Operation("sort", "sorted({v})", "list", "list", (), lambda v, n: sorted(_items(v))),
    Operation("tail", "{v}[1:]", "list", "list", (), lambda v, n: _items(v)[1:]),
    Operation("head", "{v}[:2]", "list", "list", (), lambda v, n: _items(v)[:2]),
    Operation("reverse", "{v}[::-1]", "list", "list", (), lambda v, n: _items(v)[::-1]),
)
VARIABLES = "abcd"
LARGEST = 99  # of all values on the way


@dataclass(frozen=True, slots=True)
class Step:
    """An operation with its constant."""

    operation: Operation
    constant: int = 0

    def code(self, variable: str) -> str:
        """The expression over a variable."""
        return self.operation.code.format(v=variable, n=self.constant)


@dataclass(frozen=True, slots=True)
class Chain:
    """A program of one function: each step takes what the one before it gives."""

    steps: tuple[Step, ...]

    @property
    def takes(self) -> Type:
        """The type of its input."""
        return self.steps[0].operation.takes

    @property
    def message(self) -> str:
        """What it does, in a word for each step."""
        return ", ".join(step.operation.word for step in self.steps)

    @property
    def text(self) -> str:
        """The program, as ``ast.unparse`` spells it."""
        lines = ["def f(a):"]
        for n, step in enumerate(self.steps, 1):
            begin = "return" if n == len(self.steps) else f"{VARIABLES[n]} ="
            lines.append(f"    {begin} {step.code(VARIABLES[n - 1])}")
        return "\n".join(lines)

    def values(self, given: Value) -> list[Value] | None:
        """What each step gives; None where a number on the way is too large, or a step cannot take its value."""
        found: list[Value] = []
        for step in self.steps:
            if given == [] and step.operation.gives == "int":
                return None
            given = step.operation.apply(given, step.constant)
            if isinstance(given, int) and abs(given) > LARGEST:
                return None
            found.append(given)
        return found
