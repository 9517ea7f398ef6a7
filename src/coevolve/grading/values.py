"""The value of an expression: exact where it is rational, else its digits at fixed points.

Nothing here can take long or much memory: exact numbers are bounded in bits, exponents and arguments in size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from math import comb, factorial, isqrt
from typing import Any, TypeAlias

import mpmath

from coevolve.grading.expression import Call, Constant, Expression, Number, Power, Product, Sum, Variable

Value: TypeAlias = Any  # a real or complex number of mpmath, which has no type annotations

POINTS = 3  # at which expressions with variables are compared
DIGITS = 36  # significant digits compared
_PRECISION = 80  # digits computed with
_MOST_BITS = 8192  # of an exact numerator or denominator
_MOST_ARGUMENT = 500  # of an exact factorial or binomial
_LARGEST = 10**6  # of an exponent, or an argument of a function that grows quickly, in numbers
_SIMPLE = 10**6  # largest denominator in which digits are recognised as a rational number

_context = mpmath.MPContext()
_context.dps = _PRECISION
_RESIDUE = _context.mpf(10) ** -60  # what is left of a cancellation, relative to what cancelled
_CLOSE = _context.mpf(10) ** -50


class Undecided(Exception):
    """The expression has no value here, or one out of bounds."""


class OutOfBounds(Undecided):
    """An exponent or an argument is too large to be looked into, for us and for anybody else in a short time."""


def exact(tree: Expression) -> Fraction | None:
    """The value of a constant expression where integer arithmetic gives it; None for any other."""
    match tree:
        case Number(value):
            return value
        case Sum(terms):
            return _bounded(_folded(terms, lambda a, b: a + b))
        case Product(factors):
            return _bounded(_folded(factors, lambda a, b: a * b))
        case Power(base, exponent):
            return _bounded(_power(exact(base), exact(exponent)))
        case Call(function, arguments):
            return _bounded(_called(function, [exact(argument) for argument in arguments]))
        case _:
            return None


def _bounded(value: Fraction | None) -> Fraction | None:
    if value is None or max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        return None
    return value


def _folded(parts: tuple[Expression, ...], add: Callable[[Fraction, Fraction], Fraction]) -> Fraction | None:
    total: Fraction | None = None
    for part in parts:
        value = exact(part)
        if value is None:
            return None
        total = _bounded(add(total, value)) if total is not None else value
        if total is None:
            return None
    return total


def _power(base: Fraction | None, exponent: Fraction | None) -> Fraction | None:
    if base is None or exponent is None or (base == 0 and exponent <= 0):
        return None
    if exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        return base**exponent.numerator if abs(exponent) * bits <= _MOST_BITS * 2 else None
    root = exponent.denominator
    if base < 0 or root > 64:
        return None
    top, bottom = _integer_root(base.numerator, root), _integer_root(base.denominator, root)
    if top is None or bottom is None:
        return None
    return _power(Fraction(top, bottom), Fraction(exponent.numerator))


def _integer_root(number: int, root: int) -> int | None:
    """The exact root of a natural number, None when it has none."""
    if root == 2:
        found = isqrt(number)
    else:
        low, high = 0, 1 << (number.bit_length() // root + 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if middle**root <= number else (low, middle - 1)
        found = low
    return found if found**root == number else None


def _called(function: str, arguments: list[Fraction | None]) -> Fraction | None:
    given = [argument for argument in arguments if argument is not None]
    if len(given) < len(arguments):
        return None
    first = given[0]
    if function == "abs":
        return abs(first)
    if function == "floor":
        return Fraction(first.numerator // first.denominator)
    if function == "ceil":
        return Fraction(-(-first.numerator // first.denominator))
    if any(value.denominator != 1 or not 0 <= value <= _MOST_ARGUMENT for value in given):
        return None
    if function == "factorial":
        return Fraction(factorial(int(first)))
    if function == "binomial":
        return Fraction(comb(int(first), int(given[1])))
    return None


def at_points(tree: Expression, names: frozenset[str]) -> tuple[Value, ...]:
    """The value of an expression at the fixed points of its variables; one value when there are none.

    Raises:
        Undecided: it has no value at a point, or one out of bounds.
    """
    count = POINTS if names else 1
    return tuple(_value(tree, {name: _point(name, index) for name in names}) for index in range(count))


def _point(name: str, index: int) -> Value:
    """A number of no special kind, of either sign, that belongs to this name and index for good."""
    digest = hashlib.sha256(f"{name}/{index}".encode()).digest()
    size = Fraction(int.from_bytes(digest[:8], "big"), 1 << 63) + Fraction(2, 7)
    sign = 1 if index != 1 else -1
    return _context.mpc(_context.mpf(size.numerator) / size.denominator * sign)


def _value(tree: Expression, at: Mapping[str, Value]) -> Value:
    try:
        value = _context.mpc(_numeric(tree, at))
    except (ArithmeticError, ValueError, TypeError, MemoryError, mpmath.libmp.NoConvergence) as error:
        raise Undecided(str(error)) from error
    if not (_context.isfinite(value.real) and _context.isfinite(value.imag)):
        raise Undecided("not a finite number")
    return value


def _numeric(tree: Expression, at: Mapping[str, Value]) -> Value:
    match tree:
        case Number(value):
            return _context.mpf(value.numerator) / value.denominator
        case Constant(name):
            if name == "infinity":
                raise Undecided("infinity has no digits")
            return {"pi": +_context.pi, "e": +_context.e, "i": _context.mpc(0, 1)}[name]
        case Variable(name):
            return at[name]
        case Sum(terms):
            parts = [_numeric(term, at) for term in terms]
            return _cleared(_context.fsum(parts), max(map(abs, parts)))
        case Product(factors):
            return _context.fprod(_numeric(factor, at) for factor in factors)
        case Power(base, exponent):
            return _numeric_power(_numeric(base, at), _numeric(exponent, at))
        case Call(function, arguments):
            return _numeric_call(function, [_numeric(argument, at) for argument in arguments])


def _numeric_power(base: Value, exponent: Value) -> Value:
    if abs(exponent) > _LARGEST or (base != 0 and abs(_context.log(abs(base))) * abs(exponent) > _LARGEST):
        raise OutOfBounds("an exponent out of bounds")
    return _context.power(base, exponent)


def _numeric_call(function: str, arguments: list[Value]) -> Value:
    first = arguments[0]
    if max(map(abs, arguments)) > _LARGEST and function not in ("abs", "floor", "ceil", "ln", "log", "sqrt"):
        raise OutOfBounds("an argument out of bounds")
    match function:
        case "abs":
            return abs(first)
        case "floor" | "ceil":
            return getattr(_context, function)(_settled(first))
        case "factorial":
            return _context.gamma(first + 1)
        case "binomial":
            top, bottom = arguments
            return _context.gammaprod([top + 1], [bottom + 1, top - bottom + 1])
        case "log":
            return _context.log(first) / _context.log(arguments[1])
        case "ln":
            return _cleared(_context.log(first), 1)
        case "arcsin" | "arccos" | "arctan":
            return getattr(_context, function.replace("arc", "a"))(first)
        case "sin" | "cos" | "tan" | "cot":  # near a zero other than 0 itself the argument was rounded
            return _cleared(getattr(_context, function)(first), 1 if abs(first) > 1 else 0)
        case _:
            return getattr(_context, function)(first)


def _cleared(value: Value, scale: Value) -> Value:
    """Zero instead of what rounding leaves of it."""
    return _context.mpf(0) if abs(value) <= scale * _RESIDUE else value


def _settled(value: Value) -> Value:
    """The value, or the integer that it misses by rounding only."""
    nearest = _context.nint(value.real if hasattr(value, "real") else value)
    return nearest if abs(value - nearest) < _CLOSE else value


def beyond_exact(tree: Expression) -> bool:
    """Whether a constant would be rational but for our bounds: its leading digits do not tell it from a neighbour."""
    match tree:
        case Number():
            return False
        case Sum(parts) | Product(parts):
            return any(map(beyond_exact, parts)) or (all(map(_integral, parts)) and exact(tree) is None)
        case Call(_, parts):
            return any(map(beyond_exact, parts)) or (all(exact(part) is not None for part in parts) and _large(tree))
        case Power(base, exponent):
            known = exact(base) is not None and _whole(exact(exponent))
            return beyond_exact(base) or beyond_exact(exponent) or (known and exact(tree) is None)
        case _:
            return False


def _whole(value: Fraction | None) -> bool:
    return value is not None and value.denominator == 1


def _integral(tree: Expression) -> bool:
    return exact(tree) is not None


def _large(tree: Expression) -> bool:
    return isinstance(tree, Call) and tree.function in ("factorial", "binomial") and exact(tree) is None


def decimal_digits(value: Value) -> Decimal | None:
    """A real value with fifty digits; None for a complex or a very large one."""
    if abs(value.imag) > abs(value) * _CLOSE or abs(value) > 10**20:
        return None
    return Decimal(str(_context.nstr(value.real, 50, min_fixed=-100, max_fixed=100)))


def fingerprint(values: tuple[Value, ...]) -> str:
    """A key of values: equal for equal expressions, different for others but by a chance of 1 in 10**36."""
    shown = [_shown(value) for value in values]
    return shown[0] if len(set(shown)) == 1 else "~" + "~".join(shown)


def _shown(value: Value) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    parts = [_context.mpf(0) if abs(part) < size * _CLOSE else part for part in (value.real, value.imag)]
    real, imaginary = (_part(part) for part in parts)
    return real if imaginary == "0" else f"{real}+{imaginary}i"


def _part(number: Value) -> str:
    """A simple rational number as such, any other by its leading digits."""
    if abs(number) < 10**12:
        scaled = int(_context.nint(number * _context.mpf(2) ** 200))
        guess = Fraction(scaled, 1 << 200).limit_denominator(_SIMPLE)
        if abs(_context.mpf(guess.numerator) / guess.denominator - number) <= _CLOSE * abs(number):
            return str(guess)
    return str(_context.nstr(number, DIGITS, strip_zeros=False, min_fixed=0, max_fixed=0))
