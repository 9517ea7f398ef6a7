"""A question as plain text: small letters, numbers in digits, signs of a keyboard, no decoration."""

from __future__ import annotations

import re

LONGEST = 600  # characters of a question that is read at all

_SIGNS = {
    "−": "-", "–": "-", "—": " - ", "×": "*", "·": "*", "⋅": "*", "∙": "*", "÷": "/", "²": "^2", "³": "^3", "√": "sqrt",
    "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "\u202f": " ",
    "**": "^", r"\times": "*", r"\cdot": "*", r"\div": "/", r"\left": "", r"\right": "", r"\,": "", r"\;": " ",
    r"\!": "", r"\ ": " ", r"\(": " ", r"\)": " ", r"\[": " ", r"\]": " ", r"\%": "%", r"\$": "$", r"\pi": "π",
}  # fmt: skip
_SIGN = re.compile("|".join(sorted(map(re.escape, _SIGNS), key=len, reverse=True)))
_MATHS = re.compile(r"\$\$?(?=\S)((?:\\[A-Za-z]+|[^$A-Za-z]|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))+)(?<=\S)\$\$?(?!\d)")
_MIXED = re.compile(r"[0-9]\s*\\[dtc]?frac")  # 2 1/2 or 2 * 1/2: not for us to say
_COMMAND = re.compile(r"\\[dtc]?(frac|sqrt|text|mathrm|textbf)\s*\{([^{}]*)\}(?:\s*\{([^{}]*)\})?")
_MONEY = re.compile(r"\$ ?([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)")
_THOUSANDS = re.compile(r"(?<![0-9.,])([0-9]{1,3}(?:,[0-9]{3})+)(?![0-9]|,[0-9])")
_LIST = re.compile(r"\b(?:mean|median|mode|average|range|list|set|numbers|values|sequence)\b")  # "3,100" may be two
_CROSS = re.compile(r"(?<=[0-9)])(\s*)x\1(?=[0-9(])")  # 3 x 4 and 3x4

# What a question may begin or end with that asks nothing.
_BEGIN = re.compile(
    r"^(?:(?:question|problem|task|exercise|q|riddle)(?: [0-9]+)? ?[:.)] ?|(?:please|now|hi|hello)[,!]? )+"
)
_ANSWER = r"(?:your |the )?(?:final )?(?:answer|result)"
_END = re.compile(
    r"\s*(?:(?:please )?(?:(?:give|express|write|provide|put|state|box) " + _ANSWER + r" (?:as|in|inside|within) "
    r"(?:a |an |the |its )?(?:whole number|number|integer|fraction|decimal|(?:simplest|lowest) "
    r"(?:form|terms)|reduced fraction|"
    r"\\?boxed\{?\}?|box)|(?:show|explain) (?:your|all your) (?:work|steps|reasoning|answer)|"
    r"(?:use|using) (?:python|a program|the tool)|think step by step|answer with a number only)[.!]?)+$"
)
# An answer to these is a matter of taste or of a number of digits.
_INEXACT = re.compile(
    r"\b(?:round|rounded|rounding|nearest|approx|approximate|approximately|estimate|estimated|roughly|about|around|almost|"
    r"nearly|possible|probability|random|chance|digit of|decimal places?|significant)\b"
)

_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
          "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBER_WORDS = {word: n for n, word in enumerate(_UNITS)} | {word: 10 * n for n, word in enumerate(_TENS, start=2)}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_ONE_WORD = "|".join(sorted((*_NUMBER_WORDS, *_LARGE), key=len, reverse=True))
_WORDS = re.compile(rf"\b(?:{_ONE_WORD})(?:[ -](?:{_ONE_WORD}))*\b")
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10,
}  # fmt: skip
_PART = re.compile(rf"\b({'|'.join(_UNITS[1:10])}|[0-9]+)[ -]({'|'.join(_PARTS)})(s?)\b(?! (?:prime|term|number))")


def plain(question: str) -> str | None:
    """A question in the characters that the rest of this package reads; None where it cannot be answered exactly."""
    if len(question) > LONGEST or _MIXED.search(question):
        return None
    text = _MATHS.sub(r" \1 ", question)
    for _ in range(8):  # fractions within fractions
        text, changed = _COMMAND.subn(_command, text)
        if not changed:
            break
    text = _SIGN.sub(lambda sign: _SIGNS[sign[0]], text)
    text = re.sub(r" (?=[:,;?])", "", " ".join(text.lower().split()))
    text = _END.sub("", _BEGIN.sub("", text)).strip().strip('"').strip()
    if _INEXACT.search(text) or not text.replace("π", "").isascii():
        return None
    if _LIST.search(text) and _THOUSANDS.search(text):
        return None
    text = _MONEY.sub(r"\1 dollars", text)
    text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
    text = _CROSS.sub(r"\1*\1", text)
    text = _PART.sub(_fraction, text)
    return " ".join(_WORDS.sub(_digits, text).split())


def _command(found: re.Match[str]) -> str:
    name, first, second = found[1], found[2], found[3]
    if name == "frac":
        return f"(({first})/({second}))" if second is not None else found[0]
    rest = "" if second is None else f"{{{second}}}"
    return (f" sqrt({first}) " if name == "sqrt" else f" {first} ") + rest


def _fraction(found: re.Match[str]) -> str:
    number = int(found[1]) if found[1].isdigit() else _UNITS.index(found[1])
    if (number == 1) == bool(found[3]) and found[2] != "halves":
        return found[0]  # "two third" and "one thirds" are no English
    return f"({number}/{_PARTS[found[2]]})"


def _digits(found: re.Match[str]) -> str:
    """A number in words as digits; as it stands where the words are no number."""
    words, total = re.split("[ -]", found[0]), 0
    for name, size in (("million", 1_000_000), ("thousand", 1000)):
        if name in words:
            at = words.index(name)
            part = _below_1000(words[:at])
            if not part:
                return found[0]
            total, words = total + part * size, words[at + 1 :]
            if not words:
                return str(total)
    rest = _below_1000(words)
    return found[0] if rest is None else str(total + rest)


def _below_1000(words: list[str]) -> int | None:
    number = 0
    if len(words) >= 2 and words[1] == "hundred" and 0 < _NUMBER_WORDS.get(words[0], 0) < 10:
        number, words = 100 * _NUMBER_WORDS[words[0]], words[2:]
        if not words:
            return number
    if words and words[0] in _TENS:
        number, words = number + _NUMBER_WORDS[words[0]], words[1:]
        if words and 0 < _NUMBER_WORDS.get(words[0], 0) < 10:
            number, words = number + _NUMBER_WORDS[words[0]], words[1:]
    elif words and _NUMBER_WORDS.get(words[0], 20) < 20:
        number, words = number + _NUMBER_WORDS[words[0]], words[1:]
    else:
        return None
    return None if words else number
