"""Units of quantities: one name per unit however it is spelled; nothing is converted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coevolve.grading.tokens import FUNCTIONS, GREEK

_SPELLINGS = """
m meter metre; cm centimeter centimetre; mm millimeter millimetre; km kilometer kilometre
nm nanometer nanometre; um micrometer micrometre micron; in inch inches; ft foot feet; yd yard; mi mile
ly lightyear; AU au; pc parsec; Å Angstrom angstrom; g gram gramme gm; kg kilogram kilogramme kgs; mg milligram
ug microgram; ton tonne; lb pound lbs; oz ounce; s sec second; ms millisecond; us microsecond; ns nanosecond
min minute mins; h hr hour hrs; day; week; month; yr year yrs; L l liter litre; mL ml milliliter millilitre
gallon gal; dollar USD usd money buck; cent ¢; euro € EUR eur; £ gbp GBP; ¥ yen; ₹ rupee; degree deg
rad radian; K kelvin Kelvin; N newton Newton; kN kilonewton; J joule Joule; kJ kilojoule; W watt Watt
kW kilowatt; V volt Volt; A ampere amp Ampere; mA milliampere; Hz hertz Hertz; kHz kilohertz; MHz megahertz
GHz; Pa pascal Pascal; kPa kilopascal; MPa; atm atmosphere; bar; mol mole; C coulomb Coulomb; T tesla Tesla
F farad; H henry; ohm Ω Ohm; kohm kilohm; eV electronvolt; MeV; keV; GeV; cal calorie; kcal kilocalorie; erg; dyn dyne
unit; bit; byte; people person persons; child children; man men; woman women; sr; lux
cup; pint pt; quart qt; tbsp tablespoon; tsp teaspoon; arcsec; arcmin; acre
hectare ha; °C celsius Celsius centigrade; °F fahrenheit Fahrenheit; rpm; knot; parts; M molar; nF; pF
"""
_NAMES: dict[str, str] = {}
for _line in _SPELLINGS.replace("\n", ";").split(";"):
    for _spelling in _line.split():
        _NAMES[_spelling] = _line.split()[0]
_PREFIXES = {"k": "kilo", "M": "mega", "G": "giga", "T": "tera", "c": "centi", "d": "deci", "m": "milli", "u": "micro"}
_PREFIXES |= {"n": "nano", "p": "pico", "f": "femto"}
_PREFIXED = frozenset(re.findall(r"\S+", "m g s L N J W V A Hz Pa mol C T F H ohm eV cal bar pc"))
for _spelling, _name in list(_NAMES.items()):
    if _name in _PREFIXED:
        for _short, _long in _PREFIXES.items():  # a name of its own comes first: min is a minute, ft a foot
            _prefix = _short if len(_spelling) <= 2 or _spelling == _name else _long
            _NAMES.setdefault(_prefix + _spelling.lower() if _prefix == _long else _prefix + _spelling, _short + _name)
_COMPOUND: dict[str, tuple[tuple[str, int], ...]] = {
    "mph": (("mi", 1), ("h", -1)),
    "kph": (("km", 1), ("h", -1)),
    "kmh": (("km", 1), ("h", -1)),
}
_COMPOUND |= {"fps": (("ft", 1), ("s", -1)), "sqft": (("ft", 2),), "cc": (("cm", 3),)}
_BEFORE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = {"squared": 2, "cubed": 3}
_LETTERS = r"[A-Za-zÅ°Ω£€¥₹¢]+"
_PART = re.compile(rf"(?P<word>{_LETTERS})\.?|\^ ?(?P<power>-?[0-9])|(?P<sign>[/*()]|\\cdot|\\times)|\s+|(?P<other>.)")
_START = re.compile(
    rf"\\unit |\\money|\\mu ?(?=[msgFCAVHTL])|\\Omega|\\AA|\\frac ?\{{|\\degree|(?<![A-Za-z\\]){_LETTERS}"
)
_SYMBOLS = (
    (re.compile(r"\\degree ?([CF])(?![A-Za-z])"), r" °\1 "),
    (re.compile(r"\\degree"), " degree "),
    (re.compile(r"\bdegrees? (?=[CcFf](?:elsius|ahrenheit)?\b)"), " "),
    (re.compile(r"(?<![A-Za-z°])degrees? "), " degree "),
    (re.compile(r"\\mu ?(?=[msgFCAVHTL]\b)"), " u"),
    (re.compile(r"(?<=[kMGm]) ?\\(?:Omega|ohm)"), "Ω "),
    (re.compile(r"electron[- ]volt"), "electronvolt"),
    (re.compile(r"light[- ]year"), "lightyear"),
    (re.compile(r"\\Omega|\\ohm"), " Ω "),
    (re.compile(r"\\AA|\\angstrom"), " Å "),
    (re.compile(r"\\money"), " dollar "),
    (re.compile(r"\\frac ?\{([^{}]*)\} ?\{([^{}]*)\}"), r"\1 / ( \2 )"),
)
MARK = r"\unit "  # stands before a short unit that was set as text behind a formula
_PLAIN_NUMBER = re.compile(
    r"[-+(]{0,2} ?(?:[0-9][0-9.,]*(?:(?: [0-9]+)? ?/ ?[0-9]+)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+)"
    r"(?: ?(?:\\times|\\cdot|\*|x) ?\{?10\}? ?\^ ?(?:\{ ?[-+]?[0-9]+ ?\}|[-+]?[0-9]+))?\)?%?|"
    r"[-+]?10 ?\^ ?(?:\{ ?[-+]?[0-9]+ ?\}|[-+]?[0-9]+)"
)
_PAIRS = frozenset(re.findall(r"\S+", "cm mm km dm ft yd mi in kg lb oz hr nm"))
_PRODUCTS = frozenset(("mg", "kT"))
_SPEED = re.compile(r"[ {]*m[ }]*[/{ ] ?s(?: ?\^ ?\{? ?2)?[ }]*")
_COMMANDS = re.compile(r"\\[A-Za-z]+")
_EXPONENT_BRACES = re.compile(r"\^ ?\{ ?(-?[0-9]) ?\}")
_ANGULAR = re.compile("sin|cos|tan|sec|csc|cot")
_COUNTED = re.compile(r"(.*[0-9)}])( ?[-A-Za-z]+(?: [-A-Za-z]+)*)")
_MOST_WORDS = 6
_NO_NOUN = frozenset(
    [*FUNCTIONS, *GREEK, "and", "or", "pi", "mod", "sqrt", "infinity", "infty", "to", "if", "choose", "is", "for"]
) | frozenset(
    re.findall(
        r"\S+",
        "than plus minus divided multiplied over squared cubed power increased decreased subtracted added "
        "dozen hundred thousand million billion trillion hundreds thousands millions billions trillions dozens "
        "tenths hundredths thousandths half halves thirds fourths fifths sixths sevenths eighths ninths",
    )
)


def quantities(text: str) -> Iterator[tuple[str, str]]:
    """Every way to read a text as a number, which may be any text, with a unit that we know; longest unit first."""
    rate = re.fullmatch(r"([-+]?) ?\\money ?([0-9.,]+) ?((?:/|per ).+)", text)
    if rate and (unit := unit_name("dollar " + rate[3])):
        yield rate[1] + rate[2], unit
        return
    money = re.fullmatch(r"([-+]?) ?(?:\\money|US\\money) ?([-+]?)(.+?)(?: ?(?:dollars?|USD|usd))?", text)
    if money:
        yield money[1] + money[2] + money[3], "dollar"
        return
    symbol = re.fullmatch(r"([-+]?)([£€¥₹]|USD |EUR |Rs\.? )(.+)", text)
    if symbol:
        yield symbol[1] + symbol[3], _NAMES.get(symbol[2].strip(), symbol[2].strip())
        return
    mark = re.fullmatch(r"(.*[0-9}]) ?('|''|\")", text)
    if mark:
        yield mark[1], "ft" if mark[2] == "'" else "in"
        return
    for match in _START.finditer(text):
        start = match.start()
        number = text[:start].rstrip()
        if not re.search(r"[0-9]|\\pi", number) or number[-1:] in "^_+-*/({":
            continue
        if match[0] == r"\degree" and _ANGULAR.search(number):
            continue
        if _may_be_letters(number, text[start:], apart=number != text[:start]):
            continue
        unit = unit_name(text[start:].replace(MARK, ""))
        if unit:
            yield re.sub(r" ?(?:\\cdot|\*|\\times|of)$", "", number), unit


def _may_be_letters(number: str, unit: str, *, apart: bool) -> bool:
    r"""Whether a unit without a mark may be letters of a formula: ``3s^2``, ``2\pi h``, ``\frac12 mV^2``.

    Behind a plain number it has to be set off, or to be one of more than a letter; behind a formula it has to be a
    word, or one of the units of two letters that are no usual product."""
    if unit.startswith((r"\money", r"\degree", r"\Omega", r"\AA", r"\mu")) or MARK in unit:
        return False
    letters = _COMMANDS.sub(" ", unit)
    runs = re.findall(_LETTERS, letters)
    if _PLAIN_NUMBER.fullmatch(number):
        if apart or not runs:
            return False
        if "\\frac" not in unit and len(runs) > 1:
            return False  # 5m/s
        if len(runs) == 1 and len(runs[0]) == 2:  # 5cm, 5kJ and 5cm^2, but not 2mg, 3kT and 3mV^2
            return runs[0] in _PRODUCTS or ("^" in unit and runs[0] not in _PAIRS)
        if len(runs) == 1:
            return len(runs[0]) < 2 and runs[0].isascii() and runs[0].isalpha()
    return not any(len(run) > 2 or run in _PAIRS or not run.isascii() for run in runs) and not _SPEED.fullmatch(letters)


def unit_name(text: str) -> str | None:
    """One name for all spellings of a unit: ``square feet`` is ``ft^2``, ``miles per hour`` is ``h^-1 mi``."""
    text = _EXPONENT_BRACES.sub(r"^\1", text)
    for pattern, symbol in _SYMBOLS:
        text = pattern.sub(symbol, text)
    powers: dict[str, int] = {}
    last: list[str] = []
    sign, pending = 1, 1
    for match in _PART.finditer(text):
        if match["other"]:
            return None
        if match["sign"] == "/" or match["word"] == "per":
            sign = -1
        elif match["power"]:
            if len(last) != 1 or pending != 1:
                return None
            powers[last[0]] += sign * (int(match["power"]) - 1)
            last = []
        elif word := match["word"]:
            if word in _BEFORE:
                pending = _BEFORE[word]
                continue
            if word in _AFTER and len(last) == 1:
                powers[last[0]] += sign * (_AFTER[word] - 1)
                continue
            names = _known(word)
            if names is None:
                return None
            for name, power in names:
                powers[name] = powers.get(name, 0) + sign * power * pending
            last, pending = [name for name, _ in names], 1
    if pending != 1:
        return None
    return (
        " ".join(name if power == 1 else f"{name}^{power}" for name, power in sorted(powers.items()) if power) or None
    )


def _known(word: str) -> tuple[tuple[str, int], ...] | None:
    for spelling in (word, word.removesuffix("s") if len(word) > 3 else word):
        for form in (spelling, spelling.lower() if len(spelling) > 3 else spelling):
            if form in _COMPOUND:
                return _COMPOUND[form]
            if form in _NAMES:
                return ((_NAMES[form], 1),)
    return None


def counted(text: str) -> tuple[str, str] | None:
    """The number and the noun of a text such as ``12 red apples``; None when it is not of that kind."""
    match = _COUNTED.fullmatch(text)
    if not match or not match[1].strip():
        return None
    words = match[2].casefold().split()
    if len(words) > _MOST_WORDS or any(word in _NO_NOUN for word in words) or not any(len(word) > 2 for word in words):
        return None
    if len(words) == 1 and match[2][0] != " " and len(words[0]) < 4:
        return None
    words[-1] = words[-1].removesuffix("s") if len(words[-1]) > 3 else words[-1]
    return match[1].strip(), " ".join(words)
