"""Numbers and formulas in words: ``3 million``, ``four tenths``, ``half a dozen``, ``5 more than x``.

Words of size and of fractions are read wherever they follow a number; operations only where the whole text becomes a
formula."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

from coevolve.grading.parser import parse
from coevolve.grading.tokens import FUNCTIONS, GREEK, Refused

_MOST_LETTERS = 200  # longer texts are no formulas in words

_ONES = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_ONES |= {"seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13}
_ONES |= {"fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80}
_TENS |= {"ninety": 90}
_SIZES = {"dozen": 12, "hundred": 10**2, "thousand": 10**3, "lakh": 10**5, "million": 10**6, "crore": 10**7}
_SIZES |= {"billion": 10**9, "trillion": 10**12}
_KNOWN_IN_NUMBERS = frozenset([*_ONES, *_TENS, *_SIZES, "and"])
_PARTS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7}
_PARTS |= {"eighth": 8, "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "fifteenth": 15, "sixteenth": 16}
_PARTS |= {"twentieth": 20, "hundredth": 100, "thousandth": 1000, "millionth": 10**6, "billionth": 10**9}
_PARTS |= {"ten thousandth": 10**4, "hundred thousandth": 10**5}

_UNIT = "|".join([*_ONES, *_TENS])
_SIZE = "|".join(_SIZES)
_PART = "|".join(sorted(_PARTS, key=len, reverse=True)).replace(" ", "[ -]")
_DIGITS = r"(?<![0-9.,/^_A-Za-z\\}])(?:[0-9]{1,15}(?:,[0-9]{3}){0,5}(?:\.[0-9]{1,15})?|\.[0-9]{1,15})"
_SPOKEN = rf"(?<![A-Za-z\\-])(?:{_UNIT})(?:(?:[ -]|[ -]and[ -])(?:{_UNIT}|{_SIZE}))" + "{0,12}(?![A-Za-z])"
_PLAIN_PARTS = re.compile(
    rf"(?i)(?:(?P<whole>{_DIGITS}|{_SPOKEN}) and )?"
    rf"(?P<top>{_DIGITS}|{_SPOKEN}|(?<![A-Za-z\\])an?)[ -](?P<part>{_PART})(?P<several>s?)(?![A-Za-z])"
    r"(?P<of> of(?: an?| the)?(?= ))?(?P<end>$)?"
)
_SIZED = re.compile(rf"(?i)(?P<number>{_DIGITS}|(?<![A-Za-z\\])(?:half )?an?)[ -](?P<size>{_SIZE})s?(?![A-Za-z])")
_SLASHED = re.compile(rf"(?i)(?<![0-9.,/^_])([0-9]{{1,9}})/([0-9]{{1,9}}) (?:of an? )?({_SIZE})s?(?![A-Za-z])")
_FRACTION = re.compile(rf"(?i)(\\frac ?\{{[0-9]{{1,9}}\}} ?\{{[0-9]{{1,9}}\}}) ?({_SIZE})s?(?![A-Za-z])")
_PART_OF_SIZE = re.compile(
    rf"(?i)(?<![A-Za-z\\-])(?:an? |one )?(half|third|quarter|tenth) (?:of )?an? ({_SIZE})(?![A-Za-z])"
)
_RUN = re.compile(
    rf"(?i){_DIGITS} (?:{_SIZE})s?(?: [0-9]{{1,9}} (?:{_SIZE})s?){{0,4}}(?: [0-9]{{1,6}}(?![0-9.,/]))?(?![A-Za-z])"
)
_TERM = re.compile(rf"(?i)([0-9.,]+)(?: ({_SIZE})s?)?")
_TENFOLD = re.compile(rf"(?i)({_DIGITS}) tens(?![A-Za-z])")
_NUMBER = re.compile(rf"(?i){_SPOKEN}")
_HOLDS_SIZE = re.compile(rf"(?i)(?:{_SIZE})(?![A-Za-z])")
_OPERATIONS = tuple(
    (re.compile(rf"(?i)(?<![A-Za-z\\]){words}(?![A-Za-z])"), symbol)
    for words, symbol in (
        (r"(?:the )?square root of (\S{1,40})", r"\\sqrt{\1}"),
        (r"(?:the )?cube root of (\S{1,40})", r"\\sqrt[3]{\1}"),
        (r"(?:the )?square of (\S{1,40})", r"(\1)^2"),
        (r"(?:the )?cube of (\S{1,40})", r"(\1)^3"),
        (r"(?:the )?sum of (.{1,40}?),? and (.{1,40})", r"(\1 + \2)"),
        (r"(?:the )?difference (?:of|between) (.{1,40}?),? and (.{1,40})", r"(\1 - \2)"),
        (r"(?:the )?product of (.{1,40}?),? and (.{1,40})", r"(\1) \\cdot (\2)"),
        (r"(?:the )?quotient of (.{1,40}?),? and (.{1,40})", r"(\1) / (\2)"),
        (r"(\S{1,40}) squared", r"\1^2"),
        (r"(\S{1,40}) cubed", r"\1^3"),
        (r"(?:raised )?to the power(?: of)? (\S{1,40})", r"^{\1}"),
        (r"(\S{1,40}) subtracted from (.{1,40})", r"(\2) - \1"),
        (r"(\S{1,40}) added to (.{1,40})", r"(\2) + \1"),
        (r"plus|increased by", "+"),
        (r"minus|decreased by|negative", "-"),
        (r"multiplied by|times", r"\\cdot"),
        (r"divided by|over", "/"),
        (r"twice|double", r"2 \\cdot"),
        (r"thrice|triple", r"3 \\cdot"),
        (r"(?:one )?half(?: of)?(?= \S)", r"\\frac{1}{2} \\cdot"),
        (r"(?:one |a )?half$", r"\\frac{1}{2}"),
    )
)
_PERCENT = re.compile(r"(?i)(?<=[0-9]) ?(?:percent|per cent)(?![A-Za-z])")
_OF = re.compile(r"(?<=[%0-9}]) of(?= )")
_APART = re.compile(rf"(?i)({_DIGITS}) (more|greater|less|fewer) than (.+)")
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")
_KNOWN = frozenset([*FUNCTIONS, *GREEK, "pi", "sqrt"])
_GATE = re.compile(
    rf"(?i)(?<![A-Za-z\\])(?:{_UNIT}|(?:{_SIZE}|tens|{_PART})s?|more|greater|less|fewer|plus|minus|times|divided|over|"
    r"twice|double|thrice|triple|squared|cubed|square|cube|sum|difference|product|quotient|subtracted|added|"
    r"multiplied|increased|decreased|power|negative)(?![A-Za-z])|% of "
)


def in_symbols(text: str) -> str:
    """The text with numbers and formulas in words written in symbols; unchanged where there are none."""
    if not _GATE.search(text):
        return text
    sized = _in_digits(text)
    return (_formula(sized) if len(sized) <= _MOST_LETTERS else None) or sized


def number_in_words(text: str) -> int | None:
    """The whole number that small letters and single spaces say: ``two hundred and five``; None for another text."""
    words = text.split(" ")
    if words[0] == "and" or not all(word in _KNOWN_IN_NUMBERS for word in words):
        return None
    said = _digits(text)
    return int(said) if said.isdigit() else None


def _in_digits(text: str) -> str:
    """Without words of size and of fractions behind numbers."""
    text = _PART_OF_SIZE.sub(lambda match: rf"\frac{{{_SIZES[match[2].lower()]}}}{{{_PARTS[match[1].lower()]}}}", text)
    text = _PLAIN_PARTS.sub(_as_fraction, text)
    text = _NUMBER.sub(lambda match: _digits(match[0]) if _HOLDS_SIZE.search(match[0]) else match[0], text)
    text = _FRACTION.sub(lambda match: rf"{match[1]} \cdot {_SIZES[match[2].lower()]}", text)
    text = _SLASHED.sub(lambda match: rf"\frac{{{int(match[1]) * _SIZES[match[3].lower()]}}}{{{match[2]}}}", text)
    text = _TENFOLD.sub(lambda match: _decimal(Fraction(match[1].replace(",", "")) * 10), text)
    text = _RUN.sub(_as_sum, text)
    for _ in range(3):  # three hundred thousand
        text = _SIZED.sub(_as_number, text)
    return text


def _as_fraction(match: re.Match[str]) -> str:
    top, parts = match["top"].lower(), _PARTS[match["part"].lower().replace("-", " ")]
    single = top in ("a", "an", "one", "1")
    number = Fraction(1) if single else _value(match["top"])
    ordinal = not match["several"] and not (match["of"] or match["end"] is not None or parts == 2)
    if number is None or bool(match["several"]) == single or ordinal or (parts == 4 and number > 4):
        return match[0]  # a third party, 7 quarters (coins)
    if match["whole"]:
        whole = _value(match["whole"])
        if whole is None:
            return match[0]
        number += whole * parts
    shown = rf"\frac{{{_decimal(number)}}}{{{parts}}}"
    follows = match.string[match.end() :].lstrip()[:1]
    return shown + (r" \cdot" if match["of"] and (follows.isdigit() or follows in ("\\", "(")) else "")


def _as_sum(match: re.Match[str]) -> str:
    """``2 million 300 thousand`` in digits; the text itself where the terms do not descend."""
    terms = [
        Fraction(number.replace(",", "")) * _SIZES.get(size.lower(), 1) for number, size in _TERM.findall(match[0])
    ]
    descend = all(later < earlier for earlier, later in pairwise(terms))
    return _decimal(sum(terms, Fraction(0))) if descend and len(terms) > 1 else match[0]


def _as_number(match: re.Match[str]) -> str:
    said = match["number"].lower()
    number = Fraction(1, 2) if said.startswith("half") else Fraction(1) if said in ("a", "an") else _value(said)
    return match[0] if number is None else _decimal(number * _SIZES[match["size"].lower()])


def _value(text: str) -> Fraction | None:
    """The number that digits or words say."""
    if text[:1].isdigit() or text[:1] == ".":
        return Fraction(text.replace(",", ""))
    said = _digits(text)
    return Fraction(said) if said.isdigit() else None


def _digits(text: str) -> str:
    """A number in words as digits; the words themselves where they are no number, such as ``two three``."""
    total = current = 0
    for word in re.split(r"[ -]", text.lower()):
        if word in _SIZES:
            size = _SIZES[word]
            current = max(current, 1) * size
            if size > 100:
                total, current = total + current, 0
        elif word in _TENS and current % 100 == 0:
            current += _TENS[word]
        elif word in _ONES and (current % 100 == 0 or (current % 10 == 0 and current % 100 > 10 and _ONES[word] < 10)):
            current += _ONES[word]
        elif word != "and":
            return text
    return str(total + current)


def _decimal(number: Fraction) -> str:
    """A number of finitely many decimals in digits."""
    places = 0
    while number.denominator != 1:
        number, places = number * 10, places + 1
    shown = str(number.numerator).zfill(places + 1)
    return f"{shown[:-places]}.{shown[-places:]}" if places else shown


def _formula(text: str) -> str | None:
    """The formula that the whole text says, None if it says none."""
    text = _NUMBER.sub(lambda match: _digits(match[0]), text.strip())
    apart = _APART.fullmatch(text)
    if apart:
        rest = _formula(apart[3]) or apart[3]
        text = f"({rest}) {'+' if apart[2].lower() in ('more', 'greater') else '-'} {apart[1]}"
    for pattern, symbol in _OPERATIONS:
        text = pattern.sub(symbol, text)
    text = _OF.sub(r" \\cdot", _PERCENT.sub("%", text))
    if any(word not in _KNOWN for word in _WORD.findall(text)):
        return None
    try:
        parse(text)
    except Refused:
        return None
    return text
