"""The operations of the miniature world: data only. A new operation is one row.

``{x}`` stands for the first operand (the step before), ``{n}`` for the second. Expressions are Python text
that the model writes into its code blocks; nothing in this file computes a value.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table."""

    name: str
    phrases: tuple[str, ...]  # usual wordings
    paraphrase: str  # a wording that hardly occurs in the corpus
    expression: str  # the right Python expression
    wrong: tuple[str, ...]  # plausible expressions that run and are (mostly) wrong
    digits: str  # how many digits the result can have: a sum of counts, see grammar.digit_bound
    share: float = 1.0  # relative frequency in the corpus
    least: int = 2  # smallest literal allowed as second operand
    literal: bool = False  # the second operand must be a number, not a name

    @property
    def binary(self) -> bool:
        """Whether there is a second operand."""
        return "{n}" in self.phrases[0]


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "product",
        ("{x} * {n}", "the product of {x} and {n}"),
        "{x} times {n}",
        "{x}*{n}",
        ("{x}+{n}", "{x}*{x}", "{n}*{n}"),
        digits="x+n",
    ),
    Operation(
        "sum",
        ("{x} + {n}", "the sum of {x} and {n}"),
        "{x} plus {n}",
        "{x}+{n}",
        ("{x}-{n}", "{x}*{n}", "{n}+{n}"),
        digits="max+1",
    ),
    Operation(
        "difference",
        ("the difference of {x} and {n}", "the distance of {x} and {n}"),
        "{x} minus {n} or {n} minus {x}",
        "abs({x}-{n})",
        ("{x}+{n}", "{n}-{x}", "abs({x}+{n})"),
        digits="max",
    ),
    Operation(
        "remainder",
        ("{x} mod {n}", "the remainder of {x} divided by {n}"),
        "what is left of {x} divided by {n}",
        "{x}%{n}",
        ("{x}//{n}", "{n}%{x}", "{x}-{n}"),
        digits="n",
        share=1.4,
        least=7,
        literal=True,
    ),
    Operation(
        "digit sum",
        ("the digit sum of {x}",),
        "the sum of the digits of {x}",
        "sum(map(int,str({x})))",
        ("len(str({x}))", "int(str({x}))", "{x}%9"),
        digits="2",
        share=0.7,
    ),
    Operation(
        "reverse",
        ("the reverse of {x}",),
        "{x} read from the end",
        "int(str({x})[::-1])",
        ("int(str({x}))", "len(str({x}))", "-{x}"),
        digits="x",
        share=0.9,
    ),
    Operation(
        "square",
        ("the square of {x}",),
        "{x} times itself",
        "{x}*{x}",
        ("{x}*2", "{x}+{x}", "{x}+2"),
        digits="x+x",
        share=0.8,
    ),
    Operation(
        "xor",
        ("{x} xor {n}", "the xor of {x} and {n}"),
        "the bits of {x} xor the bits of {n}",
        "{x}^{n}",
        ("{x}|{n}", "{x}&{n}", "{x}+{n}"),
        digits="max+1",
    ),
    Operation(
        "octal",
        ("the octal form of {x}",),
        "{x} in octal digits",
        "int(oct({x})[2:])",
        ("int(str({x})[2:])", "int(str({x}))", "{x}*8"),
        digits="x+1",
        share=0.06,
    ),
)

BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
RARE = BY_NAME["octal"]  # the operation of the transfer set "rare_operation"
