"""Shapes and units: areas, perimeters and volumes, and the same amount in another unit."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from coevolve.worlds.open.exact.expressions import Unreadable, root

NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?|\([0-9]+/[0-9]+\))"
_ASK = r"(?:what is|what's|what will be|find|calculate|compute|determine)"

# Units by dimension, each as a multiple of the first; none that depends on a calendar or a country.
_UNITS: tuple[dict[str, Fraction], ...] = (
    {"seconds second sec": Fraction(1), "minutes minute min": Fraction(60), "hours hour": Fraction(3600),
     "days day": Fraction(86400), "weeks week": Fraction(604800)},
    {"millimeters millimeter millimetres millimetre mm": Fraction(1), "meters meter metres metre m": Fraction(1000),
     "centimeters centimeter centimetres centimetre cm": Fraction(10),
     "kilometers kilometer kilometres kilometre km": Fraction(1_000_000)},
    {"inches inch": Fraction(1), "feet foot ft": Fraction(12), "yards yard": Fraction(36), "miles mile":
    Fraction(63360)},
    {"milligrams milligram mg": Fraction(1), "grams gram g": Fraction(1000), "kilograms kilogram kg":
    Fraction(1_000_000)},
    {"ounces ounce": Fraction(1), "pounds pound lb lbs": Fraction(16)},
    {"milliliters milliliter millilitres millilitre ml": Fraction(1), "liters liter litres litre l": Fraction(1000)},
    {"cups cup": Fraction(1), "pints pint": Fraction(2), "quarts quart": Fraction(4), "gallons gallon": Fraction(16)},
    {"cents cent pennies penny": Fraction(1), "nickels nickel": Fraction(5), "dimes dime": Fraction(10),
     "dollars dollar": Fraction(100)},
    {"months month": Fraction(1), "years year": Fraction(12), "decades decade": Fraction(120),
     "centuries century": Fraction(1200)},
)  # fmt: skip
SIZES: dict[str, tuple[int, Fraction]] = {
    name: (dimension, size)
    for dimension, units in enumerate(_UNITS)
    for names, size in units.items()
    for name in names.split()
}
UNIT = "(" + "|".join(sorted(SIZES, key=len, reverse=True)) + ")"
_LENGTHS = {name for name, (dimension, _) in SIZES.items() if dimension in (1, 2)} | {"unit", "units"}


def number(text: str) -> Fraction:
    """A number as ``NUMBER`` finds it; a fraction stands in brackets."""
    try:
        return Fraction(text.strip("()"))
    except ZeroDivisionError as error:
        raise Unreadable("a division by zero") from error


def size_of(unit: str) -> tuple[int, Fraction]:
    """The dimension of a unit, and how many of the smallest it is."""
    return SIZES[unit]


_AMOUNT = rf"(?:{NUMBER} |an? )?{UNIT}"
_CONVERSIONS = (
    rf"how many {UNIT} (?:are|is|make up|make)?(?: there)?(?: equal to)? ?(?:in|to)? ?{_AMOUNT}(?: and {NUMBER} "
    rf"{UNIT})?",
    rf"(?:convert|change|express) {_AMOUNT}(?: and {NUMBER} {UNIT})? (?:in|to|into) {UNIT}",
    rf"(?:what is|how long is|how much is|how far is) {_AMOUNT}(?: and {NUMBER} {UNIT})? (?:in|expressed "
    rf"in|converted to) {UNIT}",
)


def conversion(text: str) -> Fraction:
    """An amount in another unit.

    Raises:
        Unreadable: it is another question.
    """
    for place, words in enumerate(_CONVERSIONS):
        match = re.fullmatch(words, text.rstrip("?. "))
        if match is None:
            continue
        groups = list(match.groups())
        wanted = groups.pop(0) if place == 0 else groups.pop()
        amount, unit, more, smaller = groups
        parts = [(number(amount) if amount else Fraction(1), unit)] + ([(number(more), smaller)] if more else [])
        if len({size_of(name)[0] for _, name in parts} | {size_of(wanted)[0]}) == 1:
            return sum((n * size_of(name)[1] for n, name in parts), Fraction()) / size_of(wanted)[1]
    raise Unreadable("no conversion")


# --- shapes ---


@dataclass(frozen=True, slots=True)
class _Shape:
    """A kind of shape: how it is called, how its lengths are told, and what can be computed of them."""

    names: str
    lengths: Sequence[str]  # # stands for a length
    of: dict[str, Callable[..., Fraction]]


def _sides(a: Fraction, b: Fraction, c: Fraction) -> Fraction:
    if 2 * max(a, b, c) >= a + b + c:
        raise Unreadable("no triangle")
    return a + b + c


_OF = r"(?: of| is| =|:|,)? ?(?:length )?"
_AND = r"(?:,| and|, and) (?:(?:a|an|the|its) )?"
_LONG, _WIDE, _HIGH = (rf"(?:length|base){_OF}", rf"(?:width|breadth|height){_OF}", rf"(?:height|altitude){_OF}")
_RECTANGLE = (
    rf"{_LONG}#{_AND}{_WIDE}#", rf"{_WIDE}#{_AND}{_LONG}#", r"#(?: long| in length),? and # (?:wide|in width|broad)",
    r"(?:sides|side lengths|dimensions)(?: of)?(?: lengths?)? #(?: and| by|,|\*| \*) ?#", r"#(?: by| \*|\*) ?#",
)  # fmt: skip
_SIDE = (
    rf"(?:side|sides|edge|edges)(?: lengths?)?{_OF}#(?: long| in length)?",
    r"# long sides",
    r"# on (?:each|a|one) side",
)
_SHAPES = (
    _Shape(
        r"(?:rectangle|rectangular [a-z]+(?: [a-z]+)?)",
        _RECTANGLE,
        {"area": lambda a, b: a * b, "perimeter": lambda a, b: 2 * (a + b), "diagonal": lambda a, b: root(a * a + b
        * b, 2)},
    ),
    _Shape(r"(?:square|square [a-z]+)", _SIDE, {"area": lambda a: a * a, "perimeter": lambda a: 4 * a}),
    _Shape(
        r"(?:triangle|triangular [a-z]+|right triangle)",
        (rf"base{_OF}#{_AND}(?:(?:its|a) )?{_HIGH}#", rf"{_HIGH}#{_AND}base{_OF}#"),
        {"area": lambda a, b: a * b / 2},
    ),
    _Shape(
        "triangle",
        (r"(?:sides|side lengths)(?: of)?(?: lengths?)?(?: measuring)? #, #,? and #",),
        {"perimeter": _sides},
    ),
    _Shape(
        r"(?:right triangle|right-angled triangle)",
        (r"(?:legs|leg lengths)(?: of)?(?: lengths?)? # and #",),
        {"area": lambda a, b: a * b / 2, "hypotenuse": lambda a, b: root(a * a + b * b, 2)},
    ),
    _Shape("equilateral triangle", _SIDE, {"perimeter": lambda a: 3 * a}),
    _Shape("regular pentagon", _SIDE, {"perimeter": lambda a: 5 * a}),
    _Shape("regular hexagon", _SIDE, {"perimeter": lambda a: 6 * a}),
    _Shape("regular octagon", _SIDE, {"perimeter": lambda a: 8 * a}),
    _Shape("cube", _SIDE, {"volume": lambda a: a**3, "surface area": lambda a: 6 * a * a}),
    _Shape(
        r"(?:rectangular (?:prism|box|tank|solid)|cuboid|box)",
        (rf"{_LONG}#{_AND}{_WIDE}#{_AND}{_HIGH}#", r"dimensions(?: of)? #(?: by|,| \*|\*) ?#(?: by|,|, and| and| "
         r"\*|\*) ?#"),
        {"volume": lambda a, b, c: a * b * c},
    ),
    _Shape("square", (rf"area{_OF}#",), {"side": lambda a: root(a, 2), "side length": lambda a: root(a, 2),
                                         "perimeter": lambda a: 4 * root(a, 2)}),
    _Shape("square", (rf"perimeter{_OF}#",), {"side": lambda a: a / 4, "side length": lambda a: a / 4,
                                              "area": lambda a: a * a / 16}),
)  # fmt: skip
_CIRCLE = {"radius": Fraction(1), "diameter": Fraction(1, 2)}
_HAS = r"(?:with|that has|which has|having|whose|has|if|that is|which is|is|measuring|measures|of)"


def _patterns(shape: _Shape, lengths: str) -> list[str]:
    """The questions about a shape, each with one group for what is asked and one for the unit of the answer."""
    unit = r"(?: ?(?:square |cubic )?([a-z]+))?"
    told = lengths.replace("#", rf"{NUMBER}{unit}")
    asked = rf"(?P<asked>{'|'.join(sorted(shape.of, key=len, reverse=True))})"
    what = rf"(?:the |its )?{asked}"
    within = r"(?:,? ?in (?:square |cubic )?(?P<unit>[a-z]+))?"
    article = r"(?:a|an|the|this|one) "
    return [
        rf"{_ASK} {what}{within} of {article}{shape.names},? {_HAS} (?:it has )?(?:a |an |the |its "
        rf")?{told}{within.replace('unit>', 'unit2>')}",
        rf"(?:if |given |consider |suppose )?{article}{shape.names} {_HAS} (?:a |an )?{told}[,.] ?(?:then )?{_ASK} "
        rf"{what}"
        rf"(?: of (?:the|this) [a-z]+(?: [a-z]+)?)?{within}",
    ]


_QUESTIONS = tuple(
    (re.compile(pattern), shape)
    for shape in _SHAPES
    for lengths in shape.lengths
    for pattern in _patterns(shape, lengths)
)


def shape(text: str) -> Fraction:
    """A length, area or volume of a shape.

    Raises:
        Unreadable: it is another question, or its units differ.
    """
    text = text.rstrip("?. ")
    for pattern, kind in _QUESTIONS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        named = match.groupdict()
        others = [group for group in match.groups() if group is not None and group not in named.values()]
        numbers = [number(group) for group in others if not group[0].isalpha()]
        units = {group for group in match.groups() if group and group[0].isalpha() and group != named["asked"]}
        if not units <= _LENGTHS or len({_singular(unit) for unit in units}) > 1 or min(numbers) <= 0:
            raise Unreadable("units that differ, or that are none")
        return kind.of[named["asked"]](*numbers)
    raise Unreadable("no shape")


def circle(text: str) -> str:
    """The area or circumference of a circle as a multiple of π, where that is asked for.

    Raises:
        Unreadable: it is another question.
    """
    match = re.fullmatch(
        rf"{_ASK} (?:the )?(?:exact )?(area|circumference) of (?:a|the) circle (?:with|that has|having|whose)"
        rf"(?: a| the)? (radius|diameter)(?: of| is)? {NUMBER}(?: ?(?:units?|cm|m|meters?|inches|feet))?"
        r"(?:,? (?:in terms of|as a multiple of|leaving|leave) (?:the answer in terms of )?(?:π|pi))",
        text.rstrip("?. "),
    )
    if match is None:
        raise Unreadable("no circle")
    radius = number(match[3]) * _CIRCLE[match[2]]
    if radius <= 0:
        raise Unreadable("no circle")
    return f"{radius * radius if match[1] == 'area' else 2 * radius}\\pi"


def _singular(unit: str) -> tuple[int, Fraction] | str:
    return SIZES.get(unit, "unit")
