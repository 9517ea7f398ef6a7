"""Answers that are one value: numbers, percentages, quantities with a unit, expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from coevolve.grading import values
from coevolve.grading.expression import Constant, Expression, Number, Product, latex, negated, variables
from coevolve.grading.parser import Refused, TooLarge, parse
from coevolve.grading.units import quantity

_DECIMAL = re.compile(r"[-+]?[0-9]*\.[0-9]+")
_PERCENT = re.compile(r"(.*?) ?(?:%|percent|per cent)")
# Groups of three digits with commas.
THOUSANDS = re.compile(r"(?<![0-9.,])([0-9]{1,3}(?:,[0-9]{3})+)(?![0-9,])")


@dataclass(frozen=True, slots=True)
class Form:
    """An answer as a thing.

    Args:
        kind: number, expression, words, list, tuple, interval, matrix, relation, text.
        key: shared by exactly the same things; for an ``open`` one, by those written alike only.
        open: our own means do not tell its value, so unequal keys prove nothing.
        unit: of a quantity; it is not in the key.
        decimal: the digits as written, of a decimal number.
        tree: of a scalar.
        also: another key under which it counts: of ``y = 2x + 1``, which is ``2x + 1``, that of the equation; of a
            single letter, which may be a choice, that of the variable.
    """

    kind: str
    key: str
    open: bool = False
    unit: str | None = None
    decimal: str | None = None
    tree: Expression | None = None
    also: str | None = None


def scalar(text: str) -> Form | None:
    """The form of a text that is one value; None when it is not.

    Raises:
        TooLarge: it goes beyond a bound.
    """
    if not any(letter in "([{" for letter in text):
        text = THOUSANDS.sub(lambda match: match[1].replace(",", ""), text)
    percent = _PERCENT.fullmatch(text)
    if percent and percent[1]:
        return valued(Product((parse(percent[1]), Number(Fraction(1, 100)))), None)
    measured = _measured(text, known=True)
    if measured is not None:
        return measured
    try:
        return valued(parse(text), text)
    except TooLarge:
        raise
    except Refused:
        return _measured(text, known=False)


def _measured(text: str, *, known: bool) -> Form | None:
    """A number with a unit: one that we know, or any words."""
    found = quantity(text, known=known)
    if found is None:
        return None
    try:
        number = valued(parse(THOUSANDS.sub(lambda match: match[1].replace(",", ""), found[0])), found[0])
    except TooLarge:
        raise
    except Refused:
        return None
    if number.tree is None or variables(number.tree):
        return None
    return replace(number, unit=found[1])


def scalar_key(text: str) -> str | None:
    """The key of the value of a text, None when it has none that we know."""
    try:
        found = valued(parse(text), None)
    except Refused:
        return None
    return None if found.open else found.key


def valued(tree: Expression, text: str | None) -> Form:
    """The form of an expression.

    Args:
        tree: the expression.
        text: as it was written, to tell decimals from other numbers; None when that does not matter.

    Raises:
        TooLarge: an exponent or an argument in it is out of bounds.
    """
    rational = values.exact(tree)
    if rational is not None:
        decimal = text if text is not None and _DECIMAL.fullmatch(text.replace(" ", "")) else None
        return Form("number", f"n:{rational}", decimal=decimal, tree=tree)
    infinite = _infinite(tree)
    if infinite:
        return Form("number", f"n:{infinite}", tree=tree)
    names = variables(tree)
    try:
        key = values.fingerprint(values.at_points(tree, names))
    except values.OutOfBounds as error:
        raise TooLarge(str(error)) from error
    except values.Undecided:
        return Form("expression", "o:" + latex(tree), open=True, tree=tree)
    if values.beyond_exact(tree):
        return Form("expression", "o:" + latex(tree), open=True, tree=tree)
    simple = re.fullmatch(r"-?[0-9]+(?:/[0-9]+)?", key)
    return Form("number" if simple else "expression", f"n:{key}", tree=tree)


def _infinite(tree: Expression) -> str | None:
    if tree == Constant("infinity"):
        return "infinity"
    return "-infinity" if tree == negated(Constant("infinity")) else None
