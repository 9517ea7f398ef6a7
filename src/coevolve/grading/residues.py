"""Expressions too large to be computed, distinguished by their values modulo large primes.

Two integers, rational numbers or polynomials that are equal have equal residues. Two that differ have different ones
except with a probability of about 2^-180, since variables stand for fixed generic integers. Exponents in a power tower
only matter modulo the totients of the primes (Euler's theorem)."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import lru_cache
from math import prod

from coevolve.grading.expression import Call, Constant, Expression, Number, Power, Product, Sum, Variable, children
from coevolve.grading.rationals import exact

MOST_FACTORS = 10_000  # of a factorial

# Each line: a prime p with (p - 1) / 2 prime too, and the totients of the numbers before: what exponents, and their
# exponents, are reduced by.
_TOTIENTS = (
    (
        58770420376620035949997130723,
        58770420376620035949997130722,
        29385210188310017974998565360,
        9544279703532505071051893760,
        2541876033526678287946874880,
    ),
    (
        54702834929617973245763516807,
        54702834929617973245763516806,
        27351417464808986622881758402,
        13342974083863053657092352000,
        2761857015607857701191680000,
    ),
)


def residues(tree: Expression) -> tuple[int, ...] | None:
    """The residues of an expression, None unless it consists of integer powers, sums, products and factorials."""
    try:
        whole = _substituted(tree)
        return tuple(_residue(whole, totients, 0) for totients in _TOTIENTS)
    except _Unknown:
        return None


class _Unknown(Exception):
    """The expression has no residue."""


def _substituted(tree: Expression) -> Expression:
    """The tree with integers in place of its variables, and of pi and e, which satisfy no rational relation either."""
    match tree:
        case Variable(name) | Constant("pi" | "e" as name):
            digest = hashlib.sha256(f"residue of {name}".encode()).digest()
            return Number(Fraction(int.from_bytes(digest[:7], "big")))
        case Number():
            return tree
        case Sum(terms):
            return Sum(tuple(map(_substituted, terms)))
        case Product(factors):
            return Product(tuple(map(_substituted, factors)))
        case Power(base, exponent) if not _holds_constant(exponent):
            return Power(_substituted(base), _substituted(exponent))
        case Call("factorial" | "binomial" as function, arguments):
            return Call(function, tuple(map(_substituted, arguments)))
        case _:
            raise _Unknown


def _holds_constant(tree: Expression) -> bool:
    return isinstance(tree, Constant) or any(map(_holds_constant, children(tree)))


def _residue(tree: Expression, totients: tuple[int, ...], level: int) -> int:
    """The value modulo ``totients[level]``."""
    modulus = totients[level]
    known = exact(tree)
    if known is not None:
        if known.denominator != 1 and level:
            raise _Unknown
        return known.numerator * _inverse(known.denominator, modulus) % modulus
    match tree:
        case Sum(terms):
            return sum(_residue(term, totients, level) for term in terms) % modulus
        case Product(factors):
            return prod(_residue(factor, totients, level) for factor in factors) % modulus
        case Power(base, exponent):
            return _power(_residue(base, totients, level), exponent, totients, level)
        case Call("factorial", (argument,)):
            return _factorial(_count(argument), modulus)
        case Call("binomial", (above, below)) if not level:
            top, part = _count(above), _count(below)
            if part > top:
                return 0
            bottom = _factorial(part, modulus) * _factorial(top - part, modulus)
            return _factorial(top, modulus) * _inverse(bottom, modulus) % modulus
        case _:
            raise _Unknown


def _power(base: int, exponent: Expression, totients: tuple[int, ...], level: int) -> int:
    modulus = totients[level]
    known = exact(exponent)
    if known is not None:
        if known.denominator != 1 or (level and known < 0) or (base == 0 and known <= 0):
            raise _Unknown
        return pow(base, int(known), modulus)
    if level + 1 == len(totients) or not _natural(exponent):
        raise _Unknown
    # The exponent is far larger than the modulus has bits, so that the theorem holds for every base.
    return pow(base, _residue(exponent, totients, level + 1) + totients[level + 1], modulus)


def _natural(tree: Expression) -> bool:
    """Whether a tree combines natural numbers only by operations that make them larger."""
    match tree:
        case Number(value):
            return value >= 1 and value.denominator == 1
        case Sum(parts) | Product(parts) | Call("factorial", parts):
            return all(map(_natural, parts))
        case Power(base, exponent):
            return _natural(base) and _natural(exponent)
        case _:
            return False


def _count(tree: Expression) -> int:
    value = exact(tree)
    if value is None or value.denominator != 1 or not 0 <= value <= MOST_FACTORS:
        raise _Unknown
    return int(value)


@lru_cache(1024)
def _factorial(number: int, modulus: int) -> int:
    found = 1
    for factor in range(2, number + 1):
        found = found * factor % modulus
    return found


def _inverse(number: int, modulus: int) -> int:
    if number == 1:
        return 1
    try:
        return pow(number, -1, modulus)
    except ValueError:
        raise _Unknown from None
