"""Expressions in symbols, exact: fractions, and polynomials of the first degree in unknowns."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

LARGEST = 10**18  # numbers and results beyond this are not computed with
_MOST_POWER, _MOST_FACTORIAL = 40, 18
TOKEN = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(sqrt|[a-zπ]+)|(.))")
VARIABLES = frozenset("bcdfghjkmnpqrstuvwxyz")  # "a" is an article, "e", "i", "l" and "o" are not unknowns


class Unreadable(ValueError):
    """No expression, or one that is read in more than one way, or out of bounds."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A constant and multiples of unknowns."""

    constant: Fraction
    of: Mapping[str, Fraction] = field(default_factory=dict)

    def plus(self, other: Linear, times: int = 1) -> Linear:
        names = self.of.keys() | other.of.keys()
        sums = {name: self.of.get(name, Fraction()) + times * other.of.get(name, Fraction()) for name in names}
        constant = self.constant + times * other.constant
        return Linear(_bounded(constant), {name: _bounded(n) for name, n in sums.items() if n})

    def scaled(self, factor: Fraction) -> Linear:
        return Linear(
            _bounded(self.constant * factor), {name: _bounded(n * factor) for name, n in self.of.items() if factor}
        )

    def number(self) -> Fraction:
        if self.of:
            raise Unreadable("an unknown where a number has to be")
        return self.constant


def tokens_of(text: str) -> list[str]:
    """Numbers, words and single signs."""
    return [found[1] or found[2] or found[3] for found in TOKEN.finditer(text) if found[0].strip()]


def value(tokens: Sequence[str], known: Mapping[str, Fraction] | None = None) -> Fraction:
    """The value of an expression.

    Raises:
        Unreadable: it is none, it is ambiguous, or it is out of bounds.
    """
    return linear(tokens, known).number()


def linear(tokens: Sequence[str], known: Mapping[str, Fraction] | None = None) -> Linear:
    """An expression as a polynomial of the first degree.

    Args:
        tokens: as ``tokens_of`` makes them.
        known: values of unknowns.
    """
    reader = _Reader(tokens, known or {})
    found = reader.sum()
    if reader.here < len(tokens):
        raise Unreadable(f"{tokens[reader.here]} is left over")
    return found


class _Reader:
    """Recursive descent; powers before products before sums, all from left to right."""

    def __init__(self, tokens: Sequence[str], known: Mapping[str, Fraction]) -> None:
        self._tokens, self._known, self.here, self._depth = tokens, known, 0, 0

    def sum(self) -> Linear:
        self._depth += 1
        if self._depth > 20:
            raise Unreadable("too many brackets")
        found = self._product()
        while self._next() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            found = found.plus(self._product(), sign)
        self._depth -= 1
        return found

    def _product(self) -> Linear:
        found, divided = self._signed(), False
        while True:
            token = self._next()
            if token == "*":
                self._take()
                found = _times(found, self._signed())
            elif token == "/":
                self._take()
                found, divided = _over(found, self._signed()), True
            elif token == "(" or token in self._known or token in VARIABLES:
                before = self._tokens[self.here - 1]
                # 6/2(1+2) is read in two ways; (1/2)x is one.
                if divided or not (before == ")" or before[0].isdigit() or before in VARIABLES):
                    raise Unreadable("a product without a sign")
                found = _times(found, self._power())
            else:
                return found

    def _signed(self) -> Linear:
        if self._next() in ("+", "-"):
            sign, bare = self._take(), self.here
            found = self._power()
            if sign == "-" and "^" in self._tokens[bare : self.here] and self._tokens[bare] != "(":
                raise Unreadable("-3^2 is read in two ways")
            return found.scaled(Fraction(-1 if sign == "-" else 1))
        return self._power()

    def _power(self) -> Linear:
        found = self._atom()
        if self._next() == "!":
            self._take()
            n = found.number()
            if n.denominator != 1 or not 0 <= n <= _MOST_FACTORIAL:
                raise Unreadable("a factorial out of bounds")
            found = Linear(Fraction(math.factorial(int(n))))
        if self._next() != "^":
            return found
        self._take()
        exponent = self._atom().number()
        if self._next() in ("^", "!"):
            raise Unreadable("a tower of powers")
        if exponent == 1:
            return found
        return Linear(power(found.number(), exponent))

    def _atom(self) -> Linear:
        token = self._take()
        if token == "(":
            found = self.sum()
            if self._take() != ")":
                raise Unreadable("a bracket is not closed")
            return found
        if token == "sqrt":
            return Linear(root(self._atom().number(), 2))
        if token[0].isdigit() or token[0] == ".":
            return Linear(_bounded(Fraction(token)))
        if token in self._known:
            return Linear(self._known[token])
        if token in VARIABLES:
            return Linear(Fraction(), {token: Fraction(1)})
        raise Unreadable(f"{token} is no number")

    def _next(self) -> str:
        return self._tokens[self.here] if self.here < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        if not token:
            raise Unreadable("it ends too early")
        self.here += 1
        return token


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """A whole power, not of 0 to the 0.

    Raises:
        Unreadable: out of bounds.
    """
    if exponent.denominator != 1 or not 0 <= exponent <= _MOST_POWER or (not base and not exponent):
        raise Unreadable("a power out of bounds")
    size = max(abs(base.numerator), base.denominator)
    if size > 1 and exponent * math.log10(size) > 19:
        raise Unreadable("a power out of bounds")
    return _bounded(base ** int(exponent))


def root(number: Fraction, degree: int) -> Fraction:
    """The square or cube root of a number that is a square or a cube.

    Raises:
        Unreadable: its root is no fraction.
    """
    if number < 0:
        raise Unreadable("the root of a negative number")
    parts = [_whole_root(part, degree) for part in (number.numerator, number.denominator)]
    return Fraction(*parts)


def _whole_root(number: int, degree: int) -> int:
    guess = round(math.exp(math.log(number) / degree)) if number else 0
    for found in (guess - 1, guess, guess + 1):
        if found >= 0 and found**degree == number:
            return found
    raise Unreadable("its root is no fraction")


def _times(a: Linear, b: Linear) -> Linear:
    return b.scaled(a.constant) if not a.of else a.scaled(b.number())


def _over(a: Linear, b: Linear) -> Linear:
    divisor = b.number()
    if not divisor:
        raise Unreadable("a division by zero")
    return a.scaled(1 / divisor)


def _bounded(number: Fraction) -> Fraction:
    if abs(number.numerator) > LARGEST or number.denominator > LARGEST:
        raise Unreadable("out of bounds")
    return number
