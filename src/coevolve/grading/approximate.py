"""Numbers that stand for others: floats for what was computed, rounded decimals for values without a finite expansion.

Both are bridges: neither is transitive. In a structure the parts may stand for those of another, position by position,
or in any order where the order does not count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from coevolve.grading import values
from coevolve.grading.expression import Call, Expression, Number, Power, Product, Sum, variables
from coevolve.grading.floats import NOTHING, ULPS, float_key, holds_float, ulp
from coevolve.grading.points import OutOfBounds, Undefined
from coevolve.grading.scalars import Decimal, Form

_COMPLEX = re.compile(r"(-?[0-9.]+(?:e[-+]?[0-9]+)?)\+(-?[0-9.]+(?:e[-+]?[0-9]+)?)i")
MOST_INEXACT = 16  # parts of a list that may stand for others
LEAST_DIGITS = 4  # significant digits of a decimal that may stand for an exact value


class Way(StrEnum):
    """Which of two forms is the approximate one."""

    NEITHER = "neither"  # they are exactly the same
    FIRST = "first"
    SECOND = "second"
    BOTH = "both"  # two floats


@dataclass(frozen=True, slots=True)
class Standing:
    """How one form stands for another.

    Args:
        way: which of them is approximate.
        distance: between the two, where floats are involved; None for rounded decimals.
    """

    way: Way
    distance: Fraction | None = None


_EQUAL = Standing(Way.NEITHER, Fraction(0))


def standing(a: Form, b: Form) -> Standing | None:
    """How one of two different forms stands for the other, None when it does not. Symmetric but for the way."""
    if a.parts or b.parts:
        return _of_parts(a, b) if _alike(a, b) and (_inexact(a) or _inexact(b)) else None
    if a.printed or b.printed:
        distance = _distance(a, b)
        if distance is not None:
            return Standing(_printed(a, b), distance)
    if _rounds(a, b):
        return Standing(Way.FIRST)
    return Standing(Way.SECOND) if _rounds(b, a) else None


def approximates(decimal: Form, exact: Form) -> bool:
    """Whether a decimal stands for an exact value: only the first of the two is approximate."""
    found = standing(decimal, exact)
    return found is not None and found.way is Way.FIRST


def stands_for(decimal: Form, exact: Form) -> bool:
    """Whether a decimal, or a structure of them, is a value to the digits given, however few these are."""
    if decimal.key == exact.key or approximates(decimal, exact):
        return True
    if decimal.parts and _alike(decimal, exact):
        pairs = zip(decimal.parts, exact.parts, strict=True)
        if decimal.free:
            return all(any(stands_for(part, other) for other in exact.parts) for part in decimal.parts)
        return all(stands_for(part, other) for part, other in pairs)
    return _rounds(decimal, exact, digits=1, finite=True)


def _inexact(form: Form) -> bool:
    return form.printed or form.decimal is not None or any(map(_inexact, form.parts))


def _alike(a: Form, b: Form) -> bool:
    """Whether two structures differ in their parts alone."""
    return (a.frame, a.free, len(a.parts)) == (b.frame, b.free, len(b.parts))


def _of_parts(a: Form, b: Form) -> Standing | None:
    pairs = _matched(a.parts, b.parts) if a.free else [*zip(a.parts, b.parts, strict=True)]
    known: list[Standing] = []
    for one, other in pairs or ():
        part = _of_part(one, other)
        if part is None:
            return None
        known.append(part)
    ways = {part.way for part in known} - {Way.NEITHER}
    distances = [part.distance for part in known]
    floats = [distance for distance in distances if distance is not None]
    if not ways:
        return None  # the same in every part, but not as a whole
    if {Way.FIRST, Way.SECOND} <= ways:
        return Standing(Way.BOTH, sum(floats, Fraction(0))) if len(floats) == len(distances) else None
    way = next((way for way in (Way.FIRST, Way.SECOND) if way in ways), Way.BOTH)
    return Standing(way, sum(floats, Fraction(0)) if len(floats) == len(distances) else None)


def _of_part(a: Form, b: Form) -> Standing | None:
    if a.key == b.key:
        return _EQUAL
    return standing(a, b) if a.unit == b.unit else None


def _matched(parts: Sequence[Form], others: Sequence[Form]) -> list[tuple[Form, Form]] | None:
    """Pairs of parts that are the same or of which one stands for the other; None if there are none for all parts."""
    counted = Counter(part.key for part in parts) & Counter(other.key for other in others)
    left, right = _without(parts, counted), _without(others, counted)
    if len(left) > MOST_INEXACT:
        return None
    fits: list[list[int]] = []
    for part in left:
        fits.append([j for j, other in enumerate(right) if _of_part(part, other) is not None])
        if not fits[-1]:
            return None
    holder: dict[int, int] = {}

    def place(index: int, seen: set[int]) -> bool:
        for j in fits[index]:
            if j not in seen:
                seen.add(j)
                if j not in holder or place(holder[j], seen):
                    holder[j] = index
                    return True
        return False

    found = all(place(index, set()) for index in range(len(left)))
    return [(left[index], right[j]) for j, index in holder.items()] if found else None


def _without(parts: Sequence[Form], counted: Counter[str]) -> list[Form]:
    """The parts without so many of each key."""
    left, kept = Counter(counted), []
    for part in parts:
        if left[part.key]:
            left[part.key] -= 1
        else:
            kept.append(part)
    return kept


def _printed(a: Form, b: Form) -> Way:
    if a.printed and b.printed:
        return Way.BOTH if a.unit == b.unit else (Way.FIRST if a.unit is None else Way.SECOND)
    return Way.FIRST if a.printed else Way.SECOND


def _distance(a: Form, b: Form) -> Fraction | None:
    """The largest distance between two expressions that are the same up to the precision of floats, None for others."""
    if a.numbers is None or b.numbers is None or len(a.numbers.keys) != len(b.numbers.keys):
        return None
    largest = Fraction(0)
    moved = [_moved_keys(form) for form in (a, b)]
    for index, (one, other) in enumerate(zip(a.numbers.keys, b.numbers.keys, strict=True)):
        if values.UNDEFINED in (one, other):
            if one != other:
                return None
            continue
        first, second, gap = _located(one), _located(other), _gap(one, other)
        if gap > max(_reach(first, second), _last_place(a), _last_place(b)):
            uncertain = (_gap(keys[index], key) for keys, key in zip(moved, (one, other), strict=True) if keys)
            if gap > sum(uncertain, Fraction(0)):
                return None
        largest = max(largest, gap)
    return largest


def _gap(one: str, other: str) -> Fraction:
    if values.UNDEFINED in (one, other):
        return Fraction(0)
    first, second = _located(one), _located(other)
    return max(abs(first[0] - second[0]), abs(first[1] - second[1]))


def _moved_keys(form: Form) -> tuple[str, ...] | None:
    """The keys of an expression whose floats are all that they might have been: how sure its values are."""
    if not form.printed or form.tree is None or isinstance(form.tree, Number) or form.numbers is None:
        return None
    keys = _moved_values(form.tree)
    return keys if keys is not None and len(keys) == len(form.numbers.keys) else None


@lru_cache(1024)
def _moved_values(tree: Expression) -> tuple[str, ...] | None:
    try:
        return values.evaluate(_moved(tree), sorted(variables(tree))).keys
    except (Undefined, OutOfBounds):
        return None


def _moved(tree: Expression) -> Expression:
    match tree:
        case Number(value) if value and _finite(value) and holds_float(float_key(value)):
            return Number(value + ULPS * ulp(value))
        case Sum(terms):
            return Sum(tuple(map(_moved, terms)))
        case Product(factors):
            return Product(tuple(map(_moved, factors)))
        case Power(base, exponent):
            return Power(_moved(base), _moved(exponent))
        case Call(function, arguments):
            return Call(function, tuple(map(_moved, arguments)))
        case _:
            return tree


@lru_cache(1024)
def _located(key: str) -> tuple[Fraction, Fraction]:
    """The real and the imaginary part of the value that a key shows (``values.py``): ``=1/2`` in hexadecimal digits,
    ``1.5e+2+-2.5e-1i``, or ``1ap-4`` and ``1ap-4i3p0`` in hexadecimal digits with a power of two."""
    if key.startswith("="):
        top, _, bottom = key[1:].partition("/")
        return Fraction(int(top, 16), int(bottom, 16)), Fraction(0)
    complex_value = _COMPLEX.fullmatch(key)
    parts = complex_value.groups() if complex_value else key.split("i")
    numbers = [_number(part) for part in parts]
    return numbers[0], numbers[1] if len(numbers) > 1 else Fraction(0)


def _number(shown: str) -> Fraction:
    mantissa, binary, exponent = shown.partition("p")
    return int(mantissa, 16) * Fraction(2) ** int(exponent) if binary else Fraction(shown)


def _reach(first: tuple[Fraction, Fraction], second: tuple[Fraction, Fraction]) -> Fraction:
    """How far apart two values may be that are the same to the precision of floats."""
    sizes = [max(map(abs, value)) for value in (first, second)]
    return ULPS * ulp(max(sizes)) if min(sizes) else NOTHING


def _last_place(form: Form) -> Fraction:
    """Half a unit in the last place of a float: it may have been printed to fewer digits than it has."""
    return form.decimal.step / 2 if form.printed and form.decimal is not None else Fraction(0)


def _rounds(one: Form, other: Form, *, digits: int = LEAST_DIGITS, finite: bool = False) -> bool:
    """Whether a decimal is the rounding, or the first digits, of a value.

    Args:
        one: the decimal.
        other: the value.
        digits: significant digits that the decimal must have.
        finite: the value may have a finite decimal expansion, and be written as one."""
    decimal = one.decimal
    if decimal is None or decimal.digits < digits or other.numbers is None:
        return False
    if len(other.numbers.keys) > 1 or other.tree is None:
        return False
    if not finite and (other.decimal is not None or _finite(other.numbers.exact)):
        return False
    value = _real_value(other.tree)
    return value is not None and decimal.value in _rounded(value, decimal)


@lru_cache(1024)
def _real_value(tree: Expression) -> Fraction | None:
    return values.real_value(tree)


def _rounded(value: Fraction, decimal: Decimal) -> tuple[Fraction, Fraction]:
    sign = -1 if value < 0 else 1
    steps = abs(value) / decimal.step
    return sign * (steps // 1) * decimal.step, sign * ((steps + Fraction(1, 2)) // 1) * decimal.step


def _finite(value: Fraction | None) -> bool:
    """Whether a rational number has a finite decimal expansion."""
    if value is None:
        return False
    bottom = value.denominator
    for prime in (2, 5):
        while bottom % prime == 0:
            bottom //= prime
    return bottom == 1
