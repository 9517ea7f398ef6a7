"""Decimals as programs print them: 0.30000000000000004 is 3/10 to the precision of a float, and no number of its own.

A decimal with 15 digits or more that is no whole number is taken for a float (IEEE 754, double precision), whose value
lies within a few units in the last place of what was to be computed. One of more than 17 digits is a float only if it
shows the digits of one: ``\\sqrt2`` to 30 digits is not."""

from __future__ import annotations

import re
from fractions import Fraction

LEAST_DIGITS = 15  # significant digits, trailing zeros aside; sympy prints 15, Python 17 at most
MOST_DIGITS = 17  # that distinguish any two floats
ULPS = 4  # units in the last place that a float may lie from the value that it stands for
NOTHING = Fraction(ULPS, 1 << 52)  # what may be left of a difference of two equal numbers of size one

_LITERAL = re.compile(r"(?<![0-9.])([0-9]*)\.([0-9]+)(?:[eE]([-+]?[0-9]{1,3}))?(?![0-9.])")
_ROUND_EXPONENT, _SMALL_EXPONENT = 16, -4  # outside of these Python writes powers of ten


def holds_float(text: str) -> bool:
    """Whether a number in a text is written as programs print floats."""
    return "." in text and any(is_float(*match.groups()) for match in _LITERAL.finditer(text))


def is_float(whole: str, part: str, exponent: str | None) -> bool:
    """Whether a decimal of these digits is one that programs print: ``0.1`` and ``2.0`` are exact."""
    digits = (whole + part).strip("0")
    if len(digits) < LEAST_DIGITS or (exponent is None and not part.strip("0")):
        return False
    if len(digits) <= MOST_DIGITS:
        return True
    shown = f"{float(f'{whole or 0}.{part}e{exponent or 0}'):.{len(digits) - 1}e}"
    return shown.partition("e")[0].replace(".", "") == digits


def float_key(value: Fraction) -> str:
    """A finite decimal as Python spells floats: ``0.30000000000000004``, ``1.5000000000000002e+20``."""
    bottom, places = value.denominator, 0
    while bottom % 10 == 0 or bottom % 5 == 0 or bottom % 2 == 0:
        bottom, places = bottom // (10 if bottom % 10 == 0 else 5 if bottom % 5 == 0 else 2), places + 1
    digits = str(abs(value.numerator) * 10**places // value.denominator)
    stripped = digits.rstrip("0")
    exponent = len(digits) - 1 - places
    sign = "-" if value < 0 else ""
    if exponent >= _ROUND_EXPONENT or exponent < _SMALL_EXPONENT:
        return f"{sign}{stripped[0]}.{stripped[1:]}e{exponent:+03d}"
    places -= len(digits) - len(stripped)
    padded = stripped.rjust(places + 1, "0")
    return f"{sign}{padded[:-places]}.{padded[-places:]}" if places > 0 else sign + stripped + "0" * -places


def ulp(value: Fraction) -> Fraction:
    """The unit in the last place of a float of this size; 0 for 0."""
    size = abs(value)
    if not size:
        return Fraction(0)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    return Fraction(2) ** (exponent - 52)
