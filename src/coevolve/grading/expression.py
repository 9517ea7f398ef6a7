"""The small syntax tree of answers, and its rendering as LaTeX that only we have written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """An exact rational number."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Constant:
    """``pi``, ``e``, ``i`` or ``infinity``."""

    name: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A letter, Greek or Latin, with its subscript."""

    name: str


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of two or more terms."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """The product of two or more factors."""

    factors: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Power:
    """A base and its exponent; a quotient is a product with the exponent -1."""

    base: Expression
    exponent: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """A known function of one or two arguments."""

    function: str
    arguments: tuple[Expression, ...]


Expression: TypeAlias = Number | Constant | Variable | Sum | Product | Power | Call

_CONSTANTS = {"pi": r"\pi", "e": "e", "i": "i", "infinity": r"\infty"}
_AROUND = {"abs": ("|", "|"), "floor": (r"\lfloor ", r"\rfloor "), "ceil": (r"\lceil ", r"\rceil ")}


def latex(tree: Expression) -> str:
    """LaTeX that says the same, fully bracketed. It holds numbers, known commands and variable names only."""
    match tree:
        case Number(value):
            if value.denominator == 1:
                return str(value.numerator) if value >= 0 else f"({value.numerator})"
            sign = "-" if value < 0 else ""
            text = rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
            return f"({text})" if sign else text
        case Constant(name):
            return _CONSTANTS[name]
        case Variable(name):
            return name
        case Sum(terms):
            return "(" + "+".join(map(latex, terms)) + ")"
        case Product(factors):
            return r"\cdot ".join(map(latex, factors))
        case Power(base, exponent):
            return rf"({latex(base)})^{{{latex(exponent)}}}"
        case Call(function, arguments):
            return _call(function, [latex(argument) for argument in arguments])


def _call(function: str, arguments: list[str]) -> str:
    if function in _AROUND:
        left, right = _AROUND[function]
        return f"{left}{arguments[0]}{right}"
    if function == "factorial":
        return f"({arguments[0]})!"
    if function == "binomial":
        return rf"\binom{{{arguments[0]}}}{{{arguments[1]}}}"
    if function == "log":  # with a base
        return rf"\log_{{{arguments[1]}}}({arguments[0]})"
    return rf"\{function}({arguments[0]})"


def variables(tree: Expression) -> frozenset[str]:
    """The names of all variables."""
    match tree:
        case Variable(name):
            return frozenset((name,))
        case Sum(parts) | Product(parts) | Call(_, parts):
            return frozenset().union(*map(variables, parts))
        case Power(base, exponent):
            return variables(base) | variables(exponent)
        case _:
            return frozenset()


def negated(tree: Expression) -> Expression:
    """The tree times -1."""
    return Number(-tree.value) if isinstance(tree, Number) else Product((Number(Fraction(-1)), tree))


def quotient(top: Expression, bottom: Expression) -> Expression:
    """``top`` divided by ``bottom``; of two numbers their exact quotient."""
    if isinstance(top, Number) and isinstance(bottom, Number) and bottom.value:
        return Number(top.value / bottom.value)
    return Product((top, Power(bottom, Number(Fraction(-1)))))
