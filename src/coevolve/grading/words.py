"""Answers of letters only: words, names, option letters, and products such as ``xy`` that are not words."""

from __future__ import annotations

import re

from coevolve.grading.tokens import FUNCTIONS

_WORDS = re.compile(r"[^\W\d_]+(?:[ '/-][^\W\d_]+)*")
_OPTION = re.compile(r"(?:[Oo]ption |[Cc]hoice )?(?:\(([A-Za-z])\)|([A-Za-z])\)|([A-Za-z]))[.:]?")
_TWO_LETTER_WORDS = frozenset(
    re.findall(
        r"\S+",
        "ad ah am an as at aw ax be by do ed ex go ha he hi id if in "
        "is it lo ma me my no of oh ok on or ow ox pa so to up us we",
    )
)
_ONE_MEANING = dict.fromkeys(("dne", "doesn't exist"), "does not exist") | {
    f"no {kind}solutions": f"no {kind}solution" for kind in ("", "real ", "integer ")
}
_CONSTANTS = frozenset(("pi", "infinity", "infty", "e", "i"))
_PRODUCT = re.compile("[wxyz]{2,4}|abc?d?|ac|ad|bc|bcd|bd|cd|acd|abd|pqr?s?|qrs?|rst?|mn|mnp|kmn?|xyzt?")


def option(text: str) -> str | None:
    """The letter of an option such as ``(B)``, ``B.`` or ``b``, or a single letter; None for any other text."""
    match = _OPTION.fullmatch(text)
    if not match:
        return None
    letter = match[1] or match[2] or match[3]
    if letter in "ei":
        return None  # constants
    return letter


def words(text: str) -> str | None:
    """Words, case-folded with single spaces; None when there is anything but letters."""
    if not _WORDS.fullmatch(text) or text in _CONSTANTS or (len(text) == 1 and text.isascii()):
        return None
    if text.casefold() == "n/a":
        return "n/a"
    if text.casefold() in _ONE_MEANING:
        return _ONE_MEANING[text.casefold()]
    parts = re.split(r"[ /-]", text)
    if parts[0] in FUNCTIONS and all(len(part) == 1 for part in parts[1:]) and len(parts) > 1:
        return None  # tan x
    if "-" in text and all(map(_is_factor, parts)):
        return None  # ab-cd, Q-Qx
    if all(len(part) == 1 for part in parts) or ("/" in text and all(len(part) < 4 for part in parts)):
        return None  # x y, p-q, mg/k
    folded = text.casefold()
    return text if products(folded) else folded.replace("-", " ")


def _is_factor(text: str) -> bool:
    capital = len(text) == 2 and text[0].isupper()
    return len(text) == 1 or capital or (text not in _CONSTANTS and products(text))


def products(text: str) -> bool:
    """Whether letters are a product rather than a word: ``xy``, ``ab``, but not ``at`` or ``cat``."""
    if len(text) == 2:
        return text.isascii() and text.islower() and text.isalpha() and text not in _TWO_LETTER_WORDS
    return bool(_PRODUCT.fullmatch(text)) or text in _CONSTANTS
