"""The value of an expression: exact where rational arithmetic gives it, else its digits at fixed points.

Nothing here takes long or much memory: exact numbers are bounded in bits; magnitudes, exponents and arguments are
bounded before anything is computed with them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from coevolve.grading.expression import Call, Constant, Expression, Power, Sum, children, variables
from coevolve.grading.points import (
    AGREE,
    NEAR,
    POINTS,
    WHOLE,
    Evaluation,
    OutOfBounds,
    Undefined,
    Value,
    contexts,
    coordinate,
    folded,
    whole_coordinate,
)
from coevolve.grading.rationals import MOST_BITS, exact

DIGITS = 60  # significant digits that a key holds
_FAR_BITS = 200  # the same in bits, for the points that are not shown
_SURE = 65  # digits in which a rational number is recognised
_SIMPLE = 10**9  # largest denominator in which digits are recognised as a rational number

_TURNING = frozenset(("abs", "floor", "ceil", "ln", "lg", "log", "max", "min", "gcd", "lcm"))
UNDEFINED = "undefined"  # the key of a point where there is no value


@dataclass(frozen=True, slots=True)
class Values:
    """Keys of the values at the fixed points; at the first and the last one all names are positive.

    Args:
        keys: one for a constant, else one for each point, and then those at whole numbers where there are steps.
        exact: the rational number that a constant is.
        digits: the key that a constant would have at each point; None where it is not computed.
    """

    keys: tuple[str, ...]
    exact: Fraction | None = None
    digits: str | None = None

    def at_points(self) -> tuple[str, ...]:
        """A key for each point, also of a constant."""
        if len(self.keys) > 1:
            return self.keys[:POINTS]
        if self.digits is None and self.exact is not None:
            with lock:
                return (short(contexts()[0].mpf(self.exact.numerator) / self.exact.denominator),) * POINTS
        return (self.digits or self.keys[0],) * POINTS


def evaluate(tree: Expression, names: Sequence[str]) -> Values:
    """The values of an expression at the fixed points of its variables.

    An expression without i has real values only: the root or the logarithm of a negative number says that it is not
    meant for such a point. One that has no real value anywhere has complex ones.

    Raises:
        Undefined: it has no value anywhere; at single points, having no value is its key there.
        OutOfBounds: it would be too large, or differ from others only in digits that are not computed."""
    if not names:
        return _constant(tree)
    tree = folded(tree)
    with lock:
        found = _everywhere(tree, names)
        shown = [UNDEFINED if value is None else short(value) for value in found]
        rational = None
        if len(set(shown)) == 1 and found[0] is not None:  # perhaps the names cancel
            at = _whole_points(names) if bent(tree) else ()
            if all(value is not None and short(value) == shown[0] for value in values_at(tree, at)):
                rational = _rational(found[0])
                if rational is not None:
                    return Values((_exact_key(rational),), rational, shown[0])
                return Values((_shown(found[0]),), digits=shown[0])
        if stepped(tree):
            whole = values_at(tree, _whole_points(names))
            shown += [UNDEFINED if value is None else short(value) for value in whole]
    return Values(tuple(shown))


def scaled(tree: Expression, names: Sequence[str], *, up_to_sign: bool) -> tuple[str, ...] | None:
    """Keys that are equal for trees that differ only by a constant factor; None where there are no values.

    Args:
        tree: with variables.
        names: of these.
        up_to_sign: whether the factor may be negative as well.
    """
    tree = folded(tree)
    try:
        with lock:
            found = _everywhere(tree, names)
            if stepped(tree):
                found += values_at(tree, _whole_points(names))
            factor = next(value for value in found if value is not None)
            if not factor or (not up_to_sign and factor.imag):
                return None
            factor = factor if up_to_sign else abs(factor)
            return tuple(UNDEFINED if value is None else short(value / factor) for value in found)
    except (Undefined, OutOfBounds):
        return None


def real_value(tree: Expression) -> Fraction | None:
    """A real constant to about 100 digits, None for any other, for infinity and where there are variables."""
    if variables(tree):
        return None
    known = exact(tree)
    if known is not None:
        return known
    try:
        with lock:
            value = _checked(folded(tree), (), real=False)
            return None if abs(value.imag) > abs(value) * _small() else _fraction(value.real)
    except (Undefined, OutOfBounds):
        return None


def bent(tree: Expression) -> bool:
    """Whether it may follow different rules in different places: absolute values, roots, logarithms, steps."""
    match tree:
        case Power(base, exponent):
            rooted = not _is_whole(exact(exponent)) and bool(variables(base))
            return rooted or _alternates(base, exponent) or bent(base) or bent(exponent)
        case Call(function, arguments):
            turning = function in _TURNING or function.startswith("arc")
            return (turning and bool(variables(tree))) or any(map(bent, arguments))
        case _:
            return any(map(bent, children(tree)))


def holds_abs(tree: Expression) -> bool:
    """Whether it holds the absolute value of a variable."""
    return (isinstance(tree, Call) and tree.function == "abs" and bool(variables(tree))) or any(
        map(holds_abs, children(tree))
    )


def folds(tree: Expression) -> bool:
    """Whether it has values for either sign of something that another spelling has them for one sign of only.

    These are absolute values, and even powers under a root or in a logarithm."""
    match tree:
        case Call("ln" | "lg" | "log", (argument, *_)) if _holds_even_power(argument):
            return True
        case Power(base, exponent) if not _is_whole(exact(exponent)) and _holds_even_power(base):
            return True
        case _:
            return holds_abs(tree) or any(map(folds, children(tree)))


def _holds_even_power(tree: Expression) -> bool:
    if isinstance(tree, Power) and variables(tree.base):
        known = exact(tree.exponent)
        if known is not None and _is_whole(known / 2):
            return True
    return not isinstance(tree, Sum) and any(map(_holds_even_power, children(tree)))


def _is_whole(value: Fraction | None) -> bool:
    return value is not None and value.denominator == 1


def stepped(tree: Expression) -> bool:
    """Whether it takes its values in steps, or alternately, so that whole numbers tell what others cannot."""
    match tree:
        case Call("floor" | "ceil" | "gcd" | "lcm", _):
            return bool(variables(tree))
        case Power(base, exponent) if _alternates(base, exponent):
            return True
        case _:
            return any(map(stepped, children(tree)))


def _alternates(base: Expression, exponent: Expression) -> bool:
    """Whether it is a power of a negative number with a variable exponent."""
    known = exact(base)
    return known is not None and known < 0 and bool(variables(exponent))


lock = threading.Lock()  # an mpmath context changes its own precision while it computes


def values_at(
    tree: Expression, points: Sequence[Mapping[str, Fraction]], *, real: bool | None = None
) -> list[Value | None]:
    """The values of a folded tree at points, None where it has none. To be called with the lock held."""
    evaluation = Evaluation(contexts()[0], real=not _holds_i(tree) if real is None else real)
    return [_or_none(evaluation, tree, at) for at in points]


def short(value: Value) -> str:
    """A key of a value in about 60 digits."""
    parts = (value.real, value.imag) if hasattr(value, "_mpc_") else (value,)
    size = max(abs(part) for part in parts)
    shown = [_rounded(part) if abs(part) > size * _small() else "0" for part in parts]
    return "i".join(shown[:1] if shown[1:] == ["0"] else shown)


def _rounded(value: Value) -> str:
    sign, mantissa, exponent, bits = value._mpf_
    if bits > _FAR_BITS:
        shift = bits - _FAR_BITS
        mantissa, exponent = (mantissa + (1 << (shift - 1))) >> shift, exponent + shift
    zeros = (mantissa & -mantissa).bit_length() - 1 if mantissa else 0
    return f"{'-' if sign else ''}{mantissa >> zeros:x}p{exponent + zeros}"


def _constant(tree: Expression) -> Values:
    known = exact(tree)
    if known is not None:
        return Values((_exact_key(known),), known)
    with lock:
        value = _checked(folded(tree), (), real=False)
        rational = _rational(value)
        return Values((_shown(value) if rational is None else _exact_key(rational),), rational, short(value))


def _exact_key(value: Fraction) -> str:
    return f"={value.numerator:x}/{value.denominator:x}"


def _everywhere(tree: Expression, names: Sequence[str]) -> list[Value | None]:
    """The values at all points; complex ones if i is in the tree or if it has no others.

    Raises:
        Undefined: there are none; OutOfBounds."""
    found = _over(tree, names, real=not _holds_i(tree))
    if all(value is None for value in found):
        found = _over(tree, names, real=False)
    if all(value is None for value in found):
        raise Undefined("it has no value at any point")
    return found


def _over(tree: Expression, names: Sequence[str], *, real: bool) -> list[Value | None]:
    evaluation = Evaluation(contexts()[0], real=real)
    found: list[Value | None] = []
    for index in range(POINTS):
        try:
            if index == 0:
                found.append(_checked(tree, names, real=real))
            elif index < NEAR:
                value = evaluation.near(tree, names, index)
                found.append(found[0] if found[0] == 0 and abs(value) < _small() else value)
            else:
                found.append(evaluation.far(tree, {name: coordinate(name, index) for name in names}))
        except Undefined:
            found.append(None)
    return found


def _whole_points(names: Sequence[str]) -> list[Mapping[str, Fraction]]:
    return [{name: whole_coordinate(name, index) for name in names} for index in range(WHOLE)]


def _or_none(evaluation: Evaluation, tree: Expression, at: Mapping[str, Fraction]) -> Value | None:
    try:
        return evaluation.far(tree, at)
    except Undefined:
        return None


def _small() -> Value:
    return contexts()[0].mpf(10) ** -AGREE


def _holds_i(tree: Expression) -> bool:
    return tree == Constant("i") or any(map(_holds_i, children(tree)))


def _checked(tree: Expression, names: Sequence[str], *, real: bool) -> Value:
    """The value at the first point on which two precisions agree; with ``real`` no value on the way may be complex."""
    rough, fine = (Evaluation(context, real=real).near(tree, names, 0) for context in contexts())
    difference = abs(rough - fine)
    if difference <= abs(fine) * _small():
        return fine
    if abs(fine) < _small() and difference < _small():
        return contexts()[1].mpf(0)
    raise Undefined("the digits do not settle")


def _fraction(number: Value) -> Fraction:
    sign, mantissa, exponent, _ = number._mpf_
    magnitude = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -magnitude if sign else magnitude


def _rational(value: Value) -> Fraction | None:
    """The simple rational number that the digits show, if they show one."""
    if not value:
        return Fraction(0)
    if abs(value.imag) > abs(value) * _small():
        return None
    digits = _fraction(value.real)
    scale = Fraction(10) ** round(contexts()[1].mag(value) * 0.30103)
    for factor in (Fraction(1), scale):
        guess = (digits / factor).limit_denominator(_SIMPLE) * factor
        if abs(guess - digits) < abs(digits) / 10**_SURE and guess.denominator.bit_length() < MOST_BITS:
            return guess
    return None


def _shown(value: Value) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    parts = [part if abs(part) > size * _small() else 0 for part in (value.real, value.imag)]
    shown = [contexts()[1].nstr(part, DIGITS, min_fixed=0, max_fixed=0) if part else "0" for part in parts]
    return shown[0] if shown[1] == "0" else "{}+{}i".format(*shown)
