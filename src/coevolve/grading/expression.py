"""The small syntax tree of answers, and its LaTeX rendering for math-verify."""

from __future__ import annotations

import hashlib
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
    r"""A Latin or Greek letter (as ``\theta``), with its subscript and primes."""

    name: str


@dataclass(frozen=True, slots=True)
class Sum:
    """Terms added."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """Factors multiplied; a quotient has a factor to the power of -1."""

    factors: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Power:
    """A base to an exponent; roots as well."""

    base: Expression
    exponent: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """A function that we know, of one or two arguments."""

    function: str
    arguments: tuple[Expression, ...]


Expression: TypeAlias = Number | Constant | Variable | Sum | Product | Power | Call

MINUS_ONE = Number(Fraction(-1))

_AS_COMMAND = {
    "pi": r"\pi",
    "infinity": r"\infty",
    "floor": r"\lfloor {} \rfloor",
    "ceil": r"\lceil {} \rceil",
    "abs": r"\left|{}\right|",
    "factorial": r"\left({}\right)!",
    "exp": r"e^{{{}}}",
    "binomial": r"\binom{{{}}}{{{}}}",
    "log": r"\frac{{\ln\left({}\right)}}{{\ln\left({}\right)}}",
}


def negated(tree: Expression) -> Expression:
    """The tree times -1."""
    return Number(-tree.value) if isinstance(tree, Number) else times(MINUS_ONE, tree)


def times(first: Expression, second: Expression) -> Expression:
    """The product, flat where it can be."""
    left = first.factors if isinstance(first, Product) else (first,)
    return Product((*left, second))


def quotient(top: Expression, bottom: Expression) -> Expression:
    """``top`` divided by ``bottom``; of two numbers the exact number."""
    if isinstance(top, Number) and isinstance(bottom, Number) and bottom.value:
        return Number(top.value / bottom.value)
    return times(top, Power(bottom, MINUS_ONE))


def children(tree: Expression) -> tuple[Expression, ...]:
    """The direct parts of a tree."""
    match tree:
        case Sum(parts) | Product(parts) | Call(_, parts):
            return parts
        case Power(base, exponent):
            return base, exponent
        case _:
            return ()


def variables(tree: Expression) -> frozenset[str]:
    """The names of all variables."""
    if isinstance(tree, Variable):
        return frozenset((tree.name,))
    return frozenset().union(*map(variables, children(tree)))


def latex(tree: Expression) -> str:
    """The tree as LaTeX. It can contain only our own commands, digits and the letters of variables."""
    match tree:
        case Number(value):
            return str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
        case Constant(name):
            return _AS_COMMAND.get(name, name)
        case Variable(name) if "(" in name:  # the value of a function, which would be read as a product
            return f"z_{{{int.from_bytes(hashlib.sha256(name.encode()).digest()[:5], 'big')}}}"
        case Variable(name):
            return name
        case Sum(terms):
            return "+".join(_grouped(term) if isinstance(term, Number) else latex(term) for term in terms)
        case Product(factors):
            return r" \cdot ".join(map(_grouped, factors))
        case Power(base, exponent):
            if isinstance(exponent, Number) and exponent.value == Fraction(1, 2):
                return rf"\sqrt{{{latex(base)}}}"
            return f"{_grouped(base)}^{{{latex(exponent)}}}"
        case Call(function, arguments):
            if function not in _AS_COMMAND:
                return rf"\{function}\left({','.join(map(latex, arguments))}\right)"
            return _AS_COMMAND[function].format(*map(latex, arguments))


def _grouped(tree: Expression) -> str:
    simple = isinstance(tree, Variable | Constant) or (isinstance(tree, Number) and _natural(tree.value))
    return latex(tree) if simple else rf"\left({latex(tree)}\right)"


def _natural(value: Fraction) -> bool:
    return value >= 0 and value.denominator == 1


def structure(tree: Expression) -> str:
    """A key of the tree as it is written, but for the order of terms and factors."""
    match tree:
        case Number(value):
            return hex(value.numerator) + ("" if value.denominator == 1 else f"/{value.denominator:x}")
        case Constant(name) | Variable(name):
            return name
        case Sum(terms):
            return "(" + "+".join(sorted(map(structure, terms))) + ")"
        case Product(factors):
            return "(" + "*".join(sorted(map(structure, factors))) + ")"
        case Power(base, exponent):
            return f"({structure(base)}^{structure(exponent)})"
        case Call(function, arguments):
            return f"{function}({','.join(map(structure, arguments))})"
