"""The exact value of an expression where rational arithmetic gives it, bounded in bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import comb, factorial, gcd, isqrt, lcm

from coevolve.grading.expression import Call, Expression, Number, Power, Product, Sum
from coevolve.grading.tokens import SYMMETRIC

MOST_BITS = 8192  # of a numerator or denominator
MOST_ARGUMENT = 500  # of a factorial or binomial


def exact(tree: Expression) -> Fraction | None:
    """The value of a constant expression where integer arithmetic gives it; None for any other."""
    match tree:
        case Number(value):
            return value
        case Sum(terms):
            return _folded(terms, lambda a, b: a + b)
        case Product(factors):
            return _folded(factors, lambda a, b: a * b)
        case Power(base, exponent):
            return _bounded(_power(exact(base), exact(exponent)))
        case Call(function, arguments):
            return _bounded(_called(function, [exact(argument) for argument in arguments]))
        case _:
            return None


def _bounded(value: Fraction | None) -> Fraction | None:
    if value is None or max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        return None
    return value


def _folded(parts: Sequence[Expression], combine: Callable[[Fraction, Fraction], Fraction]) -> Fraction | None:
    total = exact(parts[0])
    for part in parts[1:]:
        value = exact(part) if total is not None else None
        if total is None or value is None:
            return None
        total = _bounded(combine(total, value))
    return total


def _power(base: Fraction | None, exponent: Fraction | None) -> Fraction | None:
    if base is None or exponent is None or (base == 0 and exponent <= 0):
        return None
    if exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        small = base in (0, 1, -1) or abs(exponent) * bits <= 2 * MOST_BITS
        return (
            base ** (exponent.numerator if base not in (0, 1, -1) else exponent.numerator % 2 or 2) if small else None
        )
    if exponent.denominator > 64 or (base < 0 and exponent.denominator % 2 == 0):
        return None
    if base < 0:  # an odd root means the real one
        positive = _power(-base, exponent)
        return -positive if positive is not None and exponent.numerator % 2 else positive
    top, bottom = (_root(part, exponent.denominator) for part in (base.numerator, base.denominator))
    return None if top is None or bottom is None else _power(Fraction(top, bottom), Fraction(exponent.numerator))


def _root(number: int, degree: int) -> int | None:
    """The exact root of a natural number, None when it has none."""
    if degree == 2:
        low = isqrt(number)
    else:
        low, high = 0, 1 << (number.bit_length() // degree + 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if middle**degree <= number else (low, middle - 1)
    return low if low**degree == number else None


def _of_several(function: str, given: Sequence[Fraction]) -> Fraction | None:
    if function in ("max", "min"):
        return max(given) if function == "max" else min(given)
    if any(value.denominator != 1 for value in given):
        return None
    whole = [value.numerator for value in given]
    return Fraction(gcd(*whole) if function == "gcd" else lcm(*whole))


def _called(function: str, arguments: Sequence[Fraction | None]) -> Fraction | None:
    given = [argument for argument in arguments if argument is not None]
    if len(given) < len(arguments):
        return None
    first = given[0]
    if function in SYMMETRIC:
        return _of_several(function, given)
    if function == "abs":
        return abs(first)
    if function == "floor":
        return Fraction(first.numerator // first.denominator)
    if function == "ceil":
        return Fraction(-(-first.numerator // first.denominator))
    if any(value.denominator != 1 or not 0 <= value <= MOST_ARGUMENT for value in given):
        return None
    if function == "factorial":
        return Fraction(factorial(int(first)))
    return Fraction(comb(int(first), int(given[1]))) if function == "binomial" else None
