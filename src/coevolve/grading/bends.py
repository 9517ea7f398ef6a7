"""Whether two expressions that agree at the fixed points differ somewhere between the numbers that occur in them.

An expression with absolute values, roots, logarithms or steps follows different rules in different places:
``|x-3|+|x-4|`` is ``|2x-7|`` except between 3 and 4. Where the rule changes is told by the numbers in it, so both are
compared once in every gap between these, their quotients and roots, and at whole numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, isqrt

from coevolve.grading import values
from coevolve.grading.expression import Expression, Number, children, variables
from coevolve.grading.points import WHOLE, folded, is_count, positive_only, whole_coordinate

_MOST_NUMBERS = 7  # in both expressions; more are not combined
_MOST_GAPS = 64
_PLACES = 48  # compared for several names
_LARGEST = 10**7
_MOST_PARTS = 8  # of a whole number


def differ(first: Expression, second: Expression) -> bool:
    """Whether both have values at some point and these are different. Symmetric; False if neither has bends."""
    names = sorted(variables(first) | variables(second))
    if not names or not (values.bent(first) or values.bent(second)):
        return False
    one, other = folded(first), folded(second)
    numbers = sorted(_numbers(one) | _numbers(other))[:_MOST_NUMBERS]
    stepped = values.stepped(one) or values.stepped(other)
    points = _spread(_between(numbers), names, stepped=stepped) + [
        {name: whole_coordinate(name, i) for name in names} for i in range(WHOLE)
    ]
    if stepped:
        points += _spread(_beside(numbers), names, stepped=True)
    with values.lock:
        pairs = zip(values.values_at(one, points), values.values_at(other, points), strict=True)
        return any(x is not None and y is not None and values.short(x) != values.short(y) for x, y in pairs)


def _numbers(tree: Expression) -> frozenset[Fraction]:
    """The sizes of the numbers in a folded tree, and of their denominators."""
    if isinstance(tree, Number):
        found = (abs(tree.value), Fraction(tree.value.denominator))
        return frozenset(number for number in found if 0 < number < _LARGEST)
    return frozenset().union(*map(_numbers, children(tree)))


def _between(numbers: list[Fraction]) -> list[Fraction]:
    """A number in every gap between these, their quotients and roots, on both sides of zero."""
    found = {*numbers, Fraction(1, 3), Fraction(2)}
    found |= {a / b for a in numbers for b in numbers} | {_root(number) for number in numbers}
    ends = sorted(found)
    step = len(ends) // _MOST_GAPS + 1
    gaps = [(a + b) / 2 for a, b in zip([Fraction(0), *ends], ends, strict=False)][::step]
    gaps += [ends[-1] * Fraction(17, 16) + Fraction(1, 7), ends[-1] * 31]
    return [sign * gap for gap in gaps for sign in (1, -1)]


def _beside(numbers: list[Fraction]) -> list[Fraction]:
    """Whole numbers at and beside multiples of these, and fractions with these below, where steps are."""
    whole = [number for number in numbers if number.denominator == 1]
    beside = {number * times + aside for number in whole for times in (1, 2) for aside in (-1, 0, 1)}
    return sorted(
        beside | {top / number for number in whole if number <= _MOST_PARTS for top in range(1, int(number) + 2)}
    )


def _spread(places: list[Fraction], names: list[str], *, stepped: bool) -> list[Mapping[str, Fraction]]:
    """Points with these coordinates; for several names only some of the combinations."""
    if len(names) == 1:
        name = names[0]
        return [{name: _allowed(place, name, stepped)} for place in places if place > 0 or not positive_only(name)]
    picked = range(_PLACES if places else 0)
    return [{name: _allowed(_picked(places, name, index), name, stepped) for name in names} for index in picked]


def _allowed(place: Fraction, name: str, stepped: bool) -> Fraction:
    size = abs(place) if positive_only(name) else place
    return Fraction(ceil(size)) if stepped and is_count(name) else size


def _picked(places: list[Fraction], name: str, index: int) -> Fraction:
    digest = hashlib.sha256(f"{name} between {index}".encode()).digest()
    return places[int.from_bytes(digest[:4], "big") % len(places)]


def _root(number: Fraction) -> Fraction:
    """The square root to about six digits."""
    return Fraction(isqrt(int(number * 10**12)), 10**6)
