"""Units of quantities: one name per unit however it is spelled; nothing is converted."""

from __future__ import annotations

import re

from coevolve.grading.plain import MONEY

_SPELLINGS = """
m meter metre; cm centimeter centimetre; mm millimeter millimetre; km kilometer kilometre
nm nanometer nanometre; um micrometer micrometre; in inch inches; ft foot feet; yd yard; mi mile
g gram gramme; kg kilogram kilogramme; mg milligram; t ton tonne; lb pound lbs; oz ounce; s sec second
ms millisecond; min minute; h hr hour; day; week; month; yr year years; L l liter litre
mL ml milliliter millilitre; dollar USD usd; cent ¢; euro € EUR eur; £ gbp GBP; ¥ yen; rupee; degree deg
rad radian; °C celsius; °F fahrenheit; K kelvin; N newton; J joule; kJ kilojoule; W watt; kW kilowatt; V volt
A ampere amp; Hz hertz; Pa pascal; kPa kilopascal; atm atmosphere; mol mole; C coulomb; T tesla; ohm Ω
eV electronvolt; cal calorie; kcal kilocalorie; mph; kph; unit; bit; byte; people person persons
child children; man men; woman women
"""
_NAMES = {
    spelling: names.split()[0]
    for line in _SPELLINGS.strip().split("\n")
    for names in line.split(";")
    for spelling in names.split()
}
# May be a variable as well: a unit only after a space.
_BASE_ONLY = frozenset("mgshtlLNJWVAKCT")
_COMPOSED = {"mph": (("mi", 1), ("h", -1)), "kph": (("km", 1), ("h", -1))}
_POWER = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_WORD = re.compile(r"[A-Za-z°Ω£€¥¢µ]+")
_PART = re.compile(
    r"(?P<word>[A-Za-z°Ω£€¥¢µ]+)|\^ ?\{? ?(?P<power>-?[0-9]+) ?\}?|(?P<sign>[/*·()]|\\cdot|\\times)|\s+|(?P<other>.)"
)
_MOST_WORDS = 6
_QUOTIENT = re.compile(
    r"([0-9]) ?\\frac ?\{ ?(m|km|mi|kg|g|ft) ?\} ?\{ ?((?:s|h|hr|m|cm|L|mL)(?: ?\^ ?\{?[23]\}?)?) ?\}"
)
_ANGULAR = re.compile(r"(?:sin|cos|tan|sec|csc|cot)")
_IGNORED = frozenset(
    ("of", "the", "a", "an", "total", "in", "all", "each", "approximately", "about", "exactly", "units", "unit")
)


def quantity(text: str, *, known: bool) -> tuple[str, str] | None:
    """The number and the canonical unit of a text such as ``5 cm^2`` or ``\\$18``; None when it has no unit.

    The number may be any text; whether it is one is for the caller to find out.

    Args:
        known: only units that this module knows; otherwise any words.
    """
    if text[:1] == MONEY or (text[:1] in "+-" and text[1:].strip()[:1] == MONEY):
        sign = text[0] if text[0] in "+-" else ""
        value = text.replace(MONEY, "", 1).lstrip("+-").strip()
        return _with_dollars(sign, value)
    for symbol, unit in (("£", "£"), ("€", "euro"), ("¥", "¥")):
        if text.startswith(symbol):
            return text[1:].strip(), unit
    degree = re.fullmatch(r"(.*?)\s*\^ ?\{? ?\\circ ?\}? ?([CF]?)", text)
    if degree and degree[1] and "\\circ" not in degree[1] and not _ANGULAR.search(degree[1]):
        return degree[1].strip(), f"°{degree[2]}" if degree[2] else "degree"
    text = _QUOTIENT.sub(r"\1 \2/\3", text)
    for start in _starts(text):
        name = canonical_unit(text[start:], after_space=text[start - 1] == " ", known=known)
        if name and re.search(r"[0-9]|\\pi|\\sqrt", text[:start]):
            return text[:start].rstrip(" *·"), name
    return None


def _with_dollars(sign: str, value: str) -> tuple[str, str] | None:
    rate = re.fullmatch(r"([0-9.,]+) ?((?:per |/ ?)[A-Za-z]+)", value)
    if rate:
        unit = canonical_unit("dollar " + rate[2], after_space=True, known=False)
        return (sign + rate[1], unit) if unit else None
    rest = re.fullmatch(r"(.*?) ?(?:dollars?|USD|usd)?", value)
    return (sign + rest[1], "dollar") if rest and rest[1] else None


def _starts(text: str) -> list[int]:
    """Where a trailing unit can begin: at letters after a digit, a bracket or a space, outside of commands."""
    found = []
    for match in _WORD.finditer(text):
        before = text[match.start() - 1] if match.start() else ""
        if before and (before.isdigit() or before in " )}]") and not text[: match.start()].endswith("\\"):
            found.append(match.start())
    return found


def canonical_unit(text: str, *, after_space: bool, known: bool) -> str | None:
    r"""One name for all spellings of a unit: ``centimeters`` is ``cm``, ``square feet`` is ``ft^2``; None for no unit.

    Args:
        text: what follows a number.
        after_space: it is set off from the number, so that a single letter is a unit and no variable.
        known: refuse words that are no units, such as apples.
    """
    words: list[list[str | int]] = []
    below, pending = False, 1
    for match in _PART.finditer(text.replace(MONEY, " dollar ")):
        if match["other"]:
            return None
        if match["sign"] == "/":
            below = True
        elif match["power"]:
            if not words:
                return None
            words[-1][1] = int(words[-1][1]) * int(match["power"])
        elif match["word"]:
            word = match["word"]
            if word.lower() in _POWER:
                pending = _POWER[word.lower()]
                continue
            if word.lower() == "per":
                below = True
                continue
            if word.lower() in _IGNORED and (words or word.lower() not in ("unit", "units", "in")):
                continue
            name = _name(word)
            if name in _BASE_ONLY and not after_space and not words:
                return None
            if name is None:
                if known or len(word) < 3:
                    return None
                name = _singular(word.lower())
            parts = _COMPOSED.get(name, ((name, 1),))
            words += [[part, power * (-pending if below else pending)] for part, power in parts]
            pending = 1
    if any(name in ("°C", "°F") for name, _ in words):
        words = [word for word in words if word[0] != "degree"]
    if not words or len(words) > _MOST_WORDS:
        return None
    return " ".join(f"{name}^{power}" if power != 1 else str(name) for name, power in sorted(words, key=str))


def _name(word: str) -> str | None:
    for spelling in (word, word.lower(), _singular(word.lower())):
        if spelling in _NAMES and (len(spelling) > 1 or spelling == word):
            return _NAMES[spelling]
    return None


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
