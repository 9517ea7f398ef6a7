"""The form of an answer (:class:`Form`), and the forms of single values: numbers, expressions, quantities."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from coevolve.grading import values
from coevolve.grading.expression import (
    Constant,
    Expression,
    Number,
    Power,
    Variable,
    latex,
    negated,
    structure,
    times,
    variables,
)
from coevolve.grading.floats import holds_float
from coevolve.grading.parser import parse
from coevolve.grading.points import OutOfBounds, Undefined
from coevolve.grading.tokens import Refused, TooLarge
from coevolve.grading.units import MARK, counted, quantities

_DECIMAL = re.compile(
    r"[-+]? ?(?P<whole>[0-9]*)\.(?P<part>[0-9]+)(?:[eE](?P<e>[-+]?[0-9]{1,3})|"
    r" ?(?:\\times|\\cdot|\*) ?10 ?\^ ?"
    r"(?:\{ ?(?P<braced>[-+]?[0-9]{1,3}) ?\}|(?P<power>[-+]?[0-9]{1,3})))?(?P<percent> ?%)?"
)
_THOUSANDS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_ARGUMENTS = re.compile(r"(?:max|min|gcd|lcm) ?(?:\(|\\\{)")
_SHORT_UNIT = re.compile(r"([A-Za-z]{2})|([A-Za-z])(?:\^(-?[0-9]))?")
_INFINITY = Constant("infinity")


@dataclass(frozen=True, slots=True)
class Decimal:
    """A decimal as written: its value, the unit of its last place, and its number of significant digits."""

    value: Fraction
    step: Fraction
    digits: int


@dataclass(frozen=True, slots=True)
class Form:
    r"""The form of an answer: what kind of mathematical object it is.

    Args:
        kind: its name: number, expression, list, interval, ...
        key: equal if and only if two forms are the same.
        shown: for display.
        bare: the key without the unit; None when it has no unit.
        unit: its name.
        tree: of a single value.
        numbers: the values of that tree.
        decimal: if it is written as one.
        alias: the key of what is left when the names are dropped from ``y = 2x`` or ``x = 1, y = 2``.
        named: it was the right side of ``x = 5``, or it is an equation such as ``\ln x = 5``, whose alias that is not.
        bounded: it was too large to be computed, so its key is its structure.
        printed: it holds a number that is written as programs print floats.
        parts: of a structure.
        frame: what its key is without the parts.
        free: whether their order does not count.
    """

    kind: str
    key: str
    shown: str
    bare: str | None = None
    unit: str | None = None
    tree: Expression | None = None
    numbers: values.Values | None = None
    decimal: Decimal | None = None
    alias: str | None = None
    named: bool = False
    bounded: bool = False
    printed: bool = False
    parts: tuple[Form, ...] = ()
    frame: str = ""
    free: bool = False


def scalar(text: str) -> Form:
    """A number, an expression, or a number with a unit.

    Raises:
        Refused: it is none of these; TooLarge, a subclass, when a bound was exceeded."""
    text = joined_thousands(text)
    if text.startswith(r"\approx"):
        text = text.removeprefix(r"\approx").strip()
    for number, unit in quantities(text):
        found = _quantity(number, unit)
        if found:
            return found
    try:
        return of_tree(parse(text), text.replace(MARK, ""))
    except TooLarge:
        raise
    except Refused:
        noun = counted(text)
        found = _quantity(*noun) if noun else None
        if found is None:
            raise
        return found


def joined_thousands(text: str) -> str:
    """Without the commas of thousands groups: ``1,234`` is one number, ``12,34`` and ``1, 234`` are two."""
    if _ARGUMENTS.search(text):
        return text
    return _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)


def of_tree(tree: Expression, text: str) -> Form:
    """The form of an expression that was written as ``text``."""
    if tree in (_INFINITY, negated(_INFINITY)):
        sign = "" if tree == _INFINITY else "-"
        return Form("number", f"{sign}infinity", f"{sign}infinity", tree=tree)
    names = sorted(variables(tree))
    printed = holds_float(text)
    try:
        numbers = values.evaluate(tree, names)
    except Undefined:
        return Form("expression", "undefined " + structure(tree), text, tree=tree)
    except OutOfBounds:
        return Form("expression", "large " + structure(tree), text, tree=tree, bounded=True)
    if numbers.exact is not None:
        shown = str(numbers.exact) if numbers.keys[0].__len__() < 80 else text
        decimal = _decimal(text, numbers.exact)
        return Form("number", numbers.keys[0], shown, tree=tree, numbers=numbers, decimal=decimal, printed=printed)
    return Form("expression", "~".join(numbers.keys), text, tree=tree, numbers=numbers, printed=printed)


def _quantity(number: str, unit: str) -> Form | None:
    """A constant with a unit. A unit of one or two letters has the key of a product, as ``5 m`` may be one.

    So has the power of one letter: ``5 m^2``."""
    try:
        tree = parse(joined_thousands(number))
    except TooLarge:
        raise
    except Refused:
        return None
    if variables(tree):
        return None
    found = of_tree(tree, joined_thousands(number))
    key = f"{found.key} {unit}"
    short = _SHORT_UNIT.fullmatch(unit)
    if short:
        product = tree
        for letter in short[1] or short[2]:
            product = times(product, Variable(letter))
        if short[3]:
            product = times(tree, Power(Variable(short[2]), Number(Fraction(short[3]))))
        key = of_tree(product, number).key
    return replace(found, kind="quantity", key=key, bare=found.key, unit=unit, shown=f"{found.shown} {unit}")


def _decimal(text: str, value: Fraction) -> Decimal | None:
    match = _DECIMAL.fullmatch(text.strip())
    if not match:
        return None
    power = int(match["e"] or match["braced"] or match["power"] or 0) - (2 if match["percent"] else 0)
    step = Fraction(10) ** (power - len(match["part"]))
    return Decimal(value, step, len((match["whole"] + match["part"]).lstrip("0")))


def structure_of(kind: str, forms: Iterable[Form], opener: str, closer: str, *, free: bool = False) -> Form:
    """The form of a structure from those of its parts.

    Args:
        kind: its name.
        forms: of the parts, in an order that does not depend on how it was written.
        opener, closer: what stands around them in its key.
        free: whether the order of the parts does not count.
    """
    parts = tuple(forms)
    key = opener + "; ".join(form.key for form in parts) + closer
    printed = any(form.printed for form in parts)
    shown = joined_shown(parts, opener, closer)
    return Form(kind, key, shown, parts=parts, frame=f"{kind} {opener}{closer}", free=free, printed=printed)


def joined_shown(forms: Iterable[Form], opener: str, closer: str) -> str:
    """A structure for display."""
    return opener + ", ".join(form.shown for form in forms) + closer


def rendered(form: Form) -> str | None:
    """The LaTeX of a single value, from its tree."""
    return latex(form.tree) if form.tree is not None else None
