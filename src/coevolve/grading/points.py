"""Fixed points at which expressions are compared, and the value of an expression at one of them.

A point is a number for each name, which belongs to that name permanently. What holds near zero need not hold elsewhere
(``|x-3|`` is ``3-x`` there), so the points lie at all scales, on both sides of zero, and some are whole numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm
from typing import Any

import mpmath

from coevolve.grading.expression import Call, Constant, Expression, Number, Power, Product, Sum, Variable, variables
from coevolve.grading.rationals import MOST_ARGUMENT, exact

NEAR = 3  # points of sizes about one: the first is positive throughout, of the other two at least one is negative
PRECISIONS = (150, 200)  # digits computed with, and checked at
AGREE = 100  # digits in which both computations must agree

# Sizes of the other points, each with the whole numbers only or not. They come in pairs of opposite signs, which of
# both is negative depends on the name; the last one is positive throughout.
_FAR = (
    (Fraction(1, 12), Fraction(1, 4), False),
    (Fraction(1, 12), Fraction(1, 4), False),
    (Fraction(3), Fraction(9), False),
    (Fraction(3), Fraction(9), False),
    (Fraction(11), Fraction(47), True),
    (Fraction(12), Fraction(48), True),
    (Fraction(50), Fraction(260), False),
    (Fraction(50), Fraction(260), False),
    (Fraction(500), Fraction(1000), True),
)
POINTS = NEAR + len(_FAR)
WHOLE = 17  # points of whole numbers only, of which a single name takes each from 1 to this once

_LARGEST = 400  # decimal exponent of any value on the way, near zero
_FAR_LARGEST = 1_000_000  # and elsewhere
_SMALLEST_TERM = 45  # digits that the smallest term of a sum may lie below the largest, near zero
_NOISE = 10  # last digits that rounding may change
_KEPT = 65  # digits that a sum must keep of its largest term
_LARGEST_LOST = 120  # decimal exponent of the largest term of a sum of which nothing but noise is left and that is zero
_MOST_TURNS = 40  # decimal exponent of an angle
_FAR_ARGUMENT = 100_000  # of a factorial or binomial
_BITS = 3.3219281

# Letters for sizes, which nobody means to be negative.
_POSITIVE = frozenset(
    ["g", "h", "l", "r", "n", "N", "R", "L", "M", "T", "V", "E", "H", "\\ell", "\\rho", "\\omega", "\\lambda", "\\hbar"]
)
_COUNTS = frozenset(["n", "k", "m", "N"])  # letters for whole numbers
_VANISHING = frozenset(
    re.findall(r"\S+", "sin cos tan cot sinh tanh ln lg log arcsin arccos arctan")
)  # which have zeros
_POLES = frozenset(("tan", "sec", "csc", "cot", "factorial", "binomial"))

Value = Any  # of mpmath, which carries no types


class Undefined(Exception):
    """The expression has no value here."""


class OutOfBounds(Exception):
    """The value is too large, or its digits would not distinguish it from a neighbour."""


@lru_cache(1)
def contexts() -> tuple[Value, Value]:
    """The contexts of both precisions; only one thread at a time may compute with them."""
    made = mpmath.MPContext(), mpmath.MPContext()
    for context, precision in zip(made, PRECISIONS, strict=True):
        context.dps = precision
    return made


@lru_cache(4096)
def coordinate(name: str, index: int) -> Fraction:
    """The number that a name has at a point."""
    digest = hashlib.sha256(f"{name}/{index}".encode()).digest()
    if index < NEAR:
        size = Fraction(int.from_bytes(digest[:8], "big"), 1 << 63) + Fraction(2, 7)
        negative = index == 1 or (index == 2 and hashlib.sha256(name.encode()).digest()[0] % 2)
        return -size if negative and not _is_size(name) else size
    low, high, whole = _FAR[index - NEAR]
    if name == "k":  # chosen among n
        low, high = low / 2, low
    size = low + (high - low) * Fraction(int.from_bytes(digest[:5], "big"), (1 << 40) + 9)
    if whole:
        size = Fraction((size.numerator // size.denominator) // 2 * 2 + index % 2)
    pair, second = divmod(index - NEAR, 2)
    negative = index + 1 < POINTS and (ord(name.lstrip("\\")[0]) >> pair) % 2 != second
    return -size if negative and not positive_only(name) else size


def positive_only(name: str) -> bool:
    """Whether it is a letter for sizes or counts."""
    return is_count(name) or _is_size(name)


def is_count(name: str) -> bool:
    """Whether it is a letter for whole numbers."""
    return name in _COUNTS


def _is_size(name: str) -> bool:
    return name.split("_")[0].split("(")[0] in _POSITIVE


@lru_cache(4096)
def whole_coordinate(name: str, index: int) -> Fraction:
    """The natural number that a name has at one of the points of whole numbers."""
    step = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % (WHOLE - 1) + 1
    return Fraction(index * step % WHOLE + 1)


def folded(tree: Expression) -> Expression:
    """The tree with its rational parts computed, so that this is not done again for every point."""
    known = exact(tree)
    if known is not None:
        return Number(known)
    match tree:
        case Sum(terms):
            return Sum(tuple(map(folded, terms)))
        case Product(factors):
            return Product(tuple(map(folded, factors)))
        case Power(base, exponent):
            return Power(folded(base), folded(exponent))
        case Call(function, arguments):
            return Call(function, tuple(map(folded, arguments)))
        case _:
            return tree


class Evaluation:
    """Values in one precision.

    Args:
        context: of mpmath.
        real: no value on the way may be complex: the root or the logarithm of a negative number says that an expression
            is not meant for such a point.
    """

    def __init__(self, context: Value, *, real: bool) -> None:
        self._context, self._real = context, real
        self._at: Mapping[str, Value] = {}
        self._near, self._whole = True, False
        self._numbers: dict[Fraction, Value] = {}
        self._tiny = context.mpf(10) ** -AGREE

    def near(self, tree: Expression, names: Sequence[str], index: int) -> Value:
        """The value of a folded tree at one of the first points.

        Raises:
            Undefined: it has none; OutOfBounds: it is too large, or other values would have the same digits."""
        return self._value_at(tree, {name: coordinate(name, index) for name in names}, near=True)

    def far(self, tree: Expression, at: Mapping[str, Fraction]) -> Value:
        """The value of a folded tree at any point; what is very small there is zero.

        Raises:
            Undefined: it has none, or none that can be computed."""
        try:
            found = self._value_at(tree, at, near=False)
        except OutOfBounds as error:
            raise Undefined(str(error)) from error
        return self._context.mpf(0) if abs(found) < self._tiny else found

    def _value_at(self, tree: Expression, at: Mapping[str, Fraction], *, near: bool) -> Value:
        self._near, self._whole = near, all(number.denominator == 1 for number in at.values())
        self._at = {name: self._number(number) for name, number in at.items()}
        return self._value(tree)

    def _value(self, tree: Expression) -> Value:
        try:
            found = self._raw(tree)
        except (ArithmeticError, ValueError, TypeError, mpmath.libmp.NoConvergence) as error:
            raise Undefined(str(error)) from error
        if hasattr(found, "_mpc_"):
            if not found.imag:
                found = found.real
            elif self._real:
                raise Undefined("not a real number")
            elif not self._context.isfinite(found):
                raise Undefined("not a finite number")
            else:
                self._bounded(self._context.mag(found))
                return found
        _, mantissa, exponent, bits = found._mpf_
        if mantissa:
            self._bounded(exponent + bits)
        elif exponent:
            raise Undefined("not a finite number")
        return found

    def _bounded(self, bits: int) -> None:
        if abs(bits) > (_LARGEST if self._near else _FAR_LARGEST) * _BITS:
            raise OutOfBounds("a value too large or too small")

    def _number(self, value: Fraction) -> Value:
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = self._context.mpf(value.numerator) / value.denominator
        return found

    def _raw(self, tree: Expression) -> Value:
        match tree:
            case Number(value):
                return self._number(value)
            case Variable(name):
                return self._at[name]
            case Sum(terms):
                return self._sum([self._value(term) for term in terms])
            case Product(factors):
                return self._product([self._value(factor) for factor in factors])
            case Power(base, exponent):
                known = exponent.value if isinstance(exponent, Number) else None
                return self._power(self._value(base), self._value(exponent), known)
            case Call(function, arguments):
                if function in ("floor", "ceil") and not self._whole and self._counts(arguments[0]):
                    raise Undefined("a count that is no whole number")
                return self._call(function, [self._value(argument) for argument in arguments])
            case Constant("infinity"):
                raise Undefined("infinity has no digits")
            case Constant(name):
                return self._context.mpc(0, 1) if name == "i" else +getattr(self._context, name)

    def _counts(self, tree: Expression) -> bool:
        names = variables(tree)
        return bool(names) and names <= _COUNTS

    def _sum(self, terms: list[Value]) -> Value:
        sizes = [self._context.mag(term) for term in terms if term]
        if not sizes:
            return terms[0]
        if self._near and max(sizes) - min(sizes) > _SMALLEST_TERM * _BITS:
            raise OutOfBounds("terms of very different size")
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        lost = max(sizes) - (self._context.mag(total) if total else self._context.ninf)
        if lost > (self._context.dps - _NOISE) * _BITS and max(sizes) < _LARGEST_LOST * _BITS:
            return self._context.mpf(0)
        if lost > (self._context.dps - _KEPT) * _BITS and (total or not self._near):
            raise Undefined("no digits are left of the terms")
        return total

    def _product(self, factors: list[Value]) -> Value:
        total = factors[0]
        for factor in factors[1:]:
            total = total * factor
        return total

    def _power(self, base: Value, exponent: Value, known: Fraction | None) -> Value:
        context = self._context
        if base == 0 or (not self._near and abs(base) < self._tiny):
            if exponent.real > 0:
                return base
            raise Undefined("zero to a power that is not positive")
        if known == -1:
            return 1 / base
        size = abs(exponent)
        if size > 10**6 or (abs(context.mag(base)) * size > 1000 and self._exceeds(base, size)):
            raise OutOfBounds("an exponent too large")
        if known is not None and known.denominator == 1:
            return base ** int(known)
        whole = not exponent.imag and context.isint(exponent.real)
        if not base.imag and not exponent.imag and (base.real > 0 or whole):
            return context.power(base.real, exponent.real)
        if known is not None and known.denominator % 2 and not base.imag:  # an odd root means the real one
            positive = context.power(-base.real, exponent.real)
            return -positive if known.numerator % 2 else positive
        return context.power(base, exponent)

    def _exceeds(self, base: Value, exponent: Value) -> bool:
        digits = abs(self._context.log(abs(base))) * exponent / 2.3025851
        return bool(digits > (_LARGEST if self._near else _FAR_LARGEST))

    def _call(self, function: str, arguments: list[Value]) -> Value:
        context, first = self._context, arguments[0]
        counting = function in ("factorial", "binomial")
        if counting or function in ("sinh", "cosh", "tanh"):
            near, far = (MOST_ARGUMENT, _FAR_ARGUMENT) if counting else (900, 10**6)
            if max(map(abs, arguments)) > (near if self._near else far):
                raise OutOfBounds("an argument too large")
        if not self._near and context.mag(first) > _MOST_TURNS * _BITS and function not in ("ln", "log", "abs"):
            raise Undefined("no digits are left of the argument")
        found = self._called(function, [self._settled(argument) if counting else argument for argument in arguments])
        if function in _VANISHING and self._is_noise(found) and not self._is_noise(first):
            return context.mpf(0)
        if function in _POLES and abs(found) * self._tiny > 1 and not (counting and first.real > 0):
            raise Undefined("a pole")
        return found

    def _called(self, function: str, arguments: list[Value]) -> Value:
        context, first = self._context, arguments[0]
        match function:
            case "abs":
                return abs(first)
            case "floor" | "ceil":
                return getattr(context, function)(self._settled(first.real))
            case "max" | "min":
                if any(argument.imag for argument in arguments):
                    raise Undefined("the order of complex numbers")
                return (max if function == "max" else min)(argument.real for argument in arguments)
            case "gcd" | "lcm":
                if not all(context.isint(argument) for argument in arguments):
                    raise Undefined("divisors of other than whole numbers")
                whole = [int(argument.real) for argument in arguments]
                return context.mpf(gcd(*whole) if function == "gcd" else lcm(*whole))
            case "factorial":
                return context.gamma(first + 1)
            case "binomial":
                return context.gammaprod([first + 1], [arguments[1] + 1, first - arguments[1] + 1])
            case "log":
                return context.log(first) / context.log(arguments[1])
            case _:
                real = first.real if not first.imag else first
                return getattr(context, function.replace("arc", "a"))(real)

    def _is_noise(self, number: Value) -> bool:
        """Whether it is as small as the error of a value near one: ``cos(pi/2)`` is zero."""
        return bool(number) and self._context.mag(number) < -(self._context.dps - _NOISE) * _BITS

    def _settled(self, number: Value) -> Value:
        """The whole number that a number differs from in its last digits only, or the number itself."""
        nearest = self._context.nint(number.real)
        return nearest if abs(number - nearest) < self._tiny else number
