r"""A canonical key per answer: two answers are the same when their keys are equal.

Equality of keys is an equivalence by construction, so votes do not depend on the order of the answers. The
key is a string that can be shown to a person. Three kinds of answers have one:

- numbers, as exact rationals: ``42``, ``-3/2``. Integers, decimals, powers of ten (``1.5e3``), percentages
  (``50%`` is one half), fractions, mixed numbers and thousands groups (``1,234``) with one value share a key;
- words, case-folded: ``Monday`` is ``monday``, but ``listen`` is not ``silent``;
- anything else, as its text with LaTeX spacing and optional spaces removed, case kept: ``2x`` is not ``2X``.

The rules are deliberately few. They treat different forms as different rather than guess (``x/2`` is not ``0.5x``): a
missed equality costs one vote, a false one teaches a wrong label. Nothing is evaluated, and everything is bounded: text
longer than MAX_LENGTH characters is compared as it stands, numbers with more than MAX_DIGITS digits are never
converted."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from coevolve.grading.floats import float_key, holds_float
from coevolve.grading.plain import VULGAR, outer_box
from coevolve.grading.words import option, words

MAX_LENGTH = 300
MAX_DIGITS = 64
MAX_EXPONENT = 64
_ROUNDS = 8

_PLAIN_INTEGER = re.compile(r"-?[1-9][0-9]{0,17}|0")
_INTEGER = re.compile(r"([+-]?)([0-9]+)")
_NUMBER = re.compile(r"([+-]?)(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,3}))?")
_WHOLE_AND_FRACTION = re.compile(r"([+-]?)([0-9]+)(?:[ ]([0-9]+))?/([0-9]+)")
_THOUSANDS = re.compile(r"([+-]?[0-9]{1,3}(?:,[0-9]{3})+)((?:\.[0-9]+)?%?)")
_ASSIGNMENT = re.compile(r"[A-Za-z] ?= ?([^=<>]+)")
_LETTER = re.compile(r"(?<![\\A-Za-z])[A-Za-z]")

_STYLED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|operatorname|mbox)\*? ?\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]?frac ?(?:\{([^{}]*)\}|([0-9])) ?(?:\{([^{}]*)\}|([0-9]))")
_DIGIT_GROUP = re.compile(r"(?<=[0-9])(?:\{,\}(?=[0-9])|,\\! ?(?=[0-9]{3}(?![0-9]))|\\[,!;: ](?=[0-9]{3}(?![0-9])))")
_LATEX_SPACE = re.compile(r"\\(?:[,;:! ]|q?quad\b|displaystyle\b|left(?![A-Za-z])|right(?![A-Za-z]))|[~\s]")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SINGLE_BRACED = re.compile(r"(?<=[\^_])\{([A-Za-z0-9])\}(?![0-9])")
_FREE_SPACE = re.compile(r"(?<![\w]) | (?![\w])")

_CHARACTERS = str.maketrans(
    VULGAR
    | dict.fromkeys("−–—‐‑﹣", "-")
    | {"×": r"\times", "·": r"\cdot", "÷": "/", "π": r"\pi", "∞": r"\infty", "\u2044": "/", "’": "'"}
)


def canonical(answer: str) -> str | None:
    r"""The key of an answer, or None for a missing answer.

    An answer is missing when nothing is left without spaces, dollar signs and outer braces. The words "None" and "nan"
    are words like any other; a missing box is never written as a word (see ``extract.last_boxed``). The key of a key is
    itself.

    Raises nothing, whatever the text.
    """
    text = outer_box(answer).strip()
    for _ in range(_ROUNDS):  # one or two do; Unicode can compose again what a rule has joined
        if _PLAIN_INTEGER.fullmatch(text) or len(text) > MAX_LENGTH:
            return text
        plain = _plain(text)
        if not plain:
            return None
        key = _number(plain) or _word(plain) or _expression(plain)
        if key == text:
            break
        text = key
    return text


def _plain(text: str) -> str:
    """One line of text without LaTeX styling, delimiters, a closing period or a leading ``x =``."""
    text = _SUPERSCRIPTS.sub(lambda match: "^{" + unicodedata.normalize("NFKC", match[0]) + "}", text)
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS)).translate(_CHARACTERS)
    text = _DIGIT_GROUP.sub("", text)
    text = _unnest(_STYLED, r"\1", text)
    text = text.replace(r"\$", "").replace("$", "").replace(r"\%", "%")
    for delimiter in (r"\(", r"\)", r"\[", r"\]"):
        text = text.replace(delimiter, "")
    text = " ".join(_LATEX_SPACE.sub(" ", text).split())
    previous = None
    while text != previous:
        previous = text
        text = _unwrap(text)
    return text


def _unwrap(text: str) -> str:
    """Remove one outer layer: braces around everything, a closing period, a single-letter left side."""
    if text.startswith("{") and text.endswith("}") and "{" not in text[1:] and "}" not in text[:-1]:
        text = text[1:-1]
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1]
    assignment = _ASSIGNMENT.fullmatch(text)
    if assignment and _LETTER.search(assignment[1]):
        assignment = None  # y = 2x is a different line from z = 2x
    return (assignment[1] if assignment else text).strip()


def _unnest(pattern: re.Pattern[str], replacement: str, text: str) -> str:
    """Replace from the innermost braces outwards; every round shortens the nesting, so it ends."""
    count = 1
    while count:
        text, count = pattern.subn(replacement, text)
    return text


def _number(text: str) -> str | None:
    """The key of a text that is one number, else None."""
    grouped = _THOUSANDS.fullmatch(text)
    if grouped:
        text = grouped[1].replace(",", "") + grouped[2]
    integer = _INTEGER.fullmatch(text)
    if integer:  # as a string: the key of a long integer costs no conversion
        digits = integer[2].lstrip("0") or "0"
        return "-" + digits if integer[1] == "-" and digits != "0" else digits
    percent = text.endswith("%")
    bare = text.removesuffix("%").rstrip()
    value = _rational(bare)
    if value is None:
        return None
    value = value / 100 if percent else value
    return float_key(value) if holds_float(bare) else str(value)


def _rational(text: str) -> Fraction | None:
    """The exact value of a decimal, a fraction of two integers or a mixed number."""
    number = _NUMBER.fullmatch(text)
    if number:
        sign, whole, part, exponent = number[1], number[2], number[3] or "", int(number[4] or 0)
        if len(whole + part) > MAX_DIGITS or abs(exponent) > MAX_EXPONENT:
            return None
        value = Fraction(int(whole + part)) * Fraction(10) ** (exponent - len(part))
        return -value if sign == "-" else value
    fraction = _WHOLE_AND_FRACTION.fullmatch(_fractions_as_text(text))
    if not fraction or max(len(part or "") for part in fraction.groups()) > MAX_DIGITS:
        return None
    mixed = fraction[3] is not None
    units = int(fraction[2]) if mixed else 0
    top, bottom = int(fraction[3] if mixed else fraction[2]), int(fraction[4])
    if bottom == 0 or (mixed and top >= bottom):
        return None
    value = units + Fraction(top, bottom)
    return -value if fraction[1] == "-" else value


def _fractions_as_text(text: str) -> str:
    r"""``-2\frac{1}{3}`` as ``-2 1/3``, when this one fraction is all there is."""
    fraction = _FRACTION.search(text)
    if fraction is None or fraction.end() != len(text):
        return text
    top, bottom = fraction[1] or fraction[2] or "", fraction[3] or fraction[4] or ""
    before = text[: fraction.start()].rstrip()
    if not top.strip().startswith("-") or before:
        return f"{before} {top.strip()}/{bottom.strip()}".strip().replace("- ", "-").replace("+ ", "+")
    return f"{top.strip()}/{bottom.strip()}"


def _word(text: str) -> str | None:
    """The key of a text of letters only: words, names, option letters such as ``(B)``."""
    letter = option(text)
    return letter or words(text)


def _expression(text: str) -> str:
    """Any other text: one spelling of fractions, no optional braces or spaces.

    A space between two words or digits stays, and every comma gets one, so that no list looks like a number.
    """
    text = _unnest(_FRACTION, r"((\1\2)/(\3\4))", text)
    return _FREE_SPACE.sub("", _SINGLE_BRACED.sub(r"\1", text)).replace(",", ", ").strip()
