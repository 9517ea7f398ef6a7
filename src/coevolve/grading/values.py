"""The value of an expression: exact where rational arithmetic gives it, else its digits at fixed points.

Nothing here takes long or much memory: exact numbers are bounded in bits; magnitudes, exponents and arguments are
bounded before anything is computed with them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath

from coevolve.grading.expression import (
    Call,
    Constant,
    Expression,
    Number,
    Power,
    Product,
    Sum,
    Variable,
    children,
    variables,
)
from coevolve.grading.rationals import MOST_ARGUMENT, MOST_BITS, exact

DIGITS = 60  # significant digits that a key holds
_PRECISIONS = (150, 200)  # digits computed with, and checked at
_AGREE = 100  # digits in which both computations must agree
_SURE = 65  # digits in which a rational number is recognised
_LARGEST = 400  # decimal exponent of any value on the way
_SMALLEST_TERM = 45  # digits that the smallest term of a sum may lie below the largest
_SIMPLE = 10**9  # largest denominator in which digits are recognised as a rational number

UNDEFINED = "undefined"  # the key of a point where there is no value

Complex = Any  # mpmath carries no types


class Undefined(Exception):
    """The expression has no value here."""


class OutOfBounds(Exception):
    """The value is too large, or its digits would not distinguish it from a neighbour."""


@dataclass(frozen=True, slots=True)
class Values:
    """Keys of the values at the fixed points; the first point has positive coordinates only.

    Args:
        keys: one for a constant, three for an expression with variables.
        exact: the rational number that a constant is.
    """

    keys: tuple[str, ...]
    exact: Fraction | None = None


def evaluate(tree: Expression, names: Sequence[str]) -> Values:
    """The values of an expression at the fixed points of its variables.

    At the points with negative coordinates an expression without i has real values only: the root or the logarithm of
    a negative number says that it is not meant for such a point.

    Raises:
        Undefined: it has no value at the first point; at others, having no value is its key there.
        OutOfBounds: it would be too large, or differ from others only in digits that are not computed."""
    known = exact(tree) if not names else None
    if known is not None:
        return Values((f"={known.numerator:x}/{known.denominator:x}",), known)
    keys: list[str] = []
    rational: Fraction | None = None
    imaginary = _holds_i(tree)
    with _lock:
        for index in range(3 if names else 1):
            try:
                value = _checked(tree, names, index, real=index > 0 and not imaginary)
            except Undefined:
                if index == 0:
                    raise
                keys.append(UNDEFINED)
                continue
            keys.append(_shown(value))
            rational = _rational(value)
        if len(set(keys)) == 1:  # the names, if there are any, cancel
            if rational is not None:
                return Values((f"={rational.numerator:x}/{rational.denominator:x}",), rational)
            return Values((keys[0],))
    return Values(tuple(keys))


def scaled(tree: Expression, names: Sequence[str], *, up_to_sign: bool) -> tuple[str, ...] | None:
    """Keys that are equal for trees that differ only by a constant factor; None where there are no values.

    Args:
        tree: with variables.
        names: of these.
        up_to_sign: whether the factor may be negative as well.
    """
    try:
        with _lock:
            found = [_checked(tree, names, index) for index in range(3)]
    except (Undefined, OutOfBounds):
        return None
    if not found[0] or (not up_to_sign and found[0].imag):
        return None
    factor = found[0] if up_to_sign else abs(found[0])
    return tuple(_shown(value / factor) for value in found)


def real_value(tree: Expression) -> Fraction | None:
    """A real constant to about 100 digits, None for any other, for infinity and where there are variables."""
    if variables(tree):
        return None
    known = exact(tree)
    if known is not None:
        return known
    try:
        with _lock:
            value = _checked(tree, (), 0)
            return None if abs(value.imag) > abs(value) * _small() else _fraction(value.real)
    except (Undefined, OutOfBounds):
        return None


_lock = threading.Lock()  # an mpmath context changes its own precision while it computes


@lru_cache(1)
def _contexts() -> tuple[Complex, Complex]:
    made = mpmath.MPContext(), mpmath.MPContext()
    for context, precision in zip(made, _PRECISIONS, strict=True):
        context.dps = precision
    return made


def _small() -> Complex:
    return _contexts()[0].mpf(10) ** -_AGREE


def _holds_i(tree: Expression) -> bool:
    return tree == Constant("i") or any(map(_holds_i, children(tree)))


def _checked(tree: Expression, names: Sequence[str], index: int, *, real: bool = False) -> Complex:
    """The value on which two precisions agree; with ``real`` no intermediate value may be complex."""
    rough, fine = (_Evaluation(context, names, index, real=real).value(tree) for context in _contexts())
    difference = abs(rough - fine)
    if difference <= abs(fine) * _small():
        return fine
    if abs(fine) < _small() and difference < _small():
        return _contexts()[1].mpc(0)
    raise Undefined("the digits do not settle")


def _fraction(number: Complex) -> Fraction:
    sign, mantissa, exponent, _ = number._mpf_
    magnitude = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -magnitude if sign else magnitude


def _rational(value: Complex) -> Fraction | None:
    """The simple rational number that the digits show, if they show one."""
    if not value:
        return Fraction(0)
    if abs(value.imag) > abs(value) * _small():
        return None
    digits = _fraction(value.real)
    scale = Fraction(10) ** round(_contexts()[1].mag(value) * 0.30103)
    for factor in (Fraction(1), scale):
        guess = (digits / factor).limit_denominator(_SIMPLE) * factor
        if abs(guess - digits) < abs(digits) / 10**_SURE and guess.denominator.bit_length() < MOST_BITS:
            return guess
    return None


def _shown(value: Complex) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    parts = [part if abs(part) > size * _small() else 0 for part in (value.real, value.imag)]
    shown = [_contexts()[1].nstr(part, DIGITS, min_fixed=0, max_fixed=0) if part else "0" for part in parts]
    return shown[0] if shown[1] == "0" else "{}+{}i".format(*shown)


# Letters for sizes, which nobody means to be negative.
_POSITIVE = frozenset(
    ["g", "h", "l", "r", "n", "N", "R", "L", "M", "T", "V", "E", "H", "\\ell", "\\rho", "\\omega", "\\lambda", "\\hbar"]
)


def _point(name: str, index: int) -> Fraction:
    """A generic number that belongs to this name and index permanently.

    The first point is positive throughout; of the other two at least one is negative for letters of either sign.
    """
    digest = hashlib.sha256(f"{name}/{index}".encode()).digest()
    size = Fraction(int.from_bytes(digest[:8], "big"), 1 << 63) + Fraction(2, 7)
    negative = index == 1 or (index == 2 and hashlib.sha256(name.encode()).digest()[0] % 2)
    return -size if negative and name.split("_")[0] not in _POSITIVE else size


class _Evaluation:
    """Values at one point in one precision."""

    def __init__(self, context: Complex, names: Sequence[str], index: int, *, real: bool) -> None:
        self._context, self._real = context, real
        self._at: Mapping[str, Complex] = {name: self._number(_point(name, index)) for name in names}

    def value(self, tree: Expression) -> Complex:
        try:
            found = self._context.mpc(self._raw(tree))
        except (ArithmeticError, ValueError, TypeError, mpmath.libmp.NoConvergence) as error:
            raise Undefined(str(error)) from error
        if self._real and found.imag:
            raise Undefined("not a real number")
        if not (self._context.isfinite(found.real) and self._context.isfinite(found.imag)):
            raise Undefined("not a finite number")
        if found and abs(self._context.mag(found)) > _LARGEST * 3.4:
            raise OutOfBounds("a value too large or too small")
        return found

    def _number(self, value: Fraction) -> Complex:
        return self._context.mpf(value.numerator) / value.denominator

    def _raw(self, tree: Expression) -> Complex:
        known = exact(tree)
        if known is not None:
            return self._number(known)
        match tree:
            case Constant("infinity"):
                raise Undefined("infinity has no digits")
            case Constant(name):
                return self._context.mpc(0, 1) if name == "i" else +getattr(self._context, name)
            case Variable(name):
                return self._at[name]
            case Sum(terms):
                return self._sum([self.value(term) for term in terms])
            case Product(factors):
                return self._context.fprod(self.value(factor) for factor in factors)
            case Power(base, exponent):
                return self._power(self.value(base), self.value(exponent), exact(exponent))
            case Number(value):
                return self._number(value)
            case Call(function, arguments):
                return self._call(function, [self.value(argument) for argument in arguments])

    def _sum(self, terms: list[Complex]) -> Complex:
        sizes = [self._context.mag(term) for term in terms if term]
        if sizes and max(sizes) - min(sizes) > _SMALLEST_TERM * 3.33:
            raise OutOfBounds("terms of very different size")
        return self._context.fsum(terms)

    def _power(self, base: Complex, exponent: Complex, known: Fraction | None) -> Complex:
        if base == 0:
            if exponent.real > 0:
                return base
            raise Undefined("zero to a power that is not positive")
        if abs(exponent) > 10**6 or abs(self._context.log(abs(base))) * abs(exponent) > _LARGEST * 2.31:
            raise OutOfBounds("an exponent too large")
        if not base.imag and not exponent.imag and (base.real > 0 or self._context.isint(exponent.real)):
            return self._context.power(base.real, exponent.real)
        if known is not None and known.denominator % 2 and not base.imag:  # an odd root means the real one
            positive = self._context.power(-base.real, exponent.real)
            return -positive if known.numerator % 2 else positive
        return self._context.power(base, exponent)

    def _call(self, function: str, arguments: list[Complex]) -> Complex:
        context, first = self._context, arguments[0]
        growing = function in ("factorial", "binomial", "sinh", "cosh", "tanh")
        if growing and max(map(abs, arguments)) > (MOST_ARGUMENT if function in ("factorial", "binomial") else 900):
            raise OutOfBounds("an argument too large")
        match function:
            case "abs":
                return abs(first)
            case "floor" | "ceil":
                nearest = context.nint(first.real)
                settled = nearest if abs(first - nearest) < context.mpf(10) ** -_AGREE else first.real
                return getattr(context, function)(settled)
            case "factorial":
                return context.gamma(first + 1)
            case "binomial":
                return context.gammaprod([first + 1], [arguments[1] + 1, first - arguments[1] + 1])
            case "log":
                return context.log(first) / context.log(arguments[1])
            case _:
                real = first.real if not first.imag else first
                return getattr(context, function.replace("arc", "a"))(real)
