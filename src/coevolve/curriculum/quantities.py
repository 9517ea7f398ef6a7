"""The numbers that the text of a question holds, in digits or in words, and which of them a program uses."""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction

from coevolve.grading.spoken import number_in_words

Value = frozenset[Fraction]  # numbers that a program must hold together, such as 3 and 4 for 3/4
Quantity = frozenset[Value]  # the ways in which a program may hold one number of a question

_SIZES = {"dozen": 12, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SIZE = "|".join(_SIZES)
# Digits that belong to a name, such as those of x2 or A4, are no number of the question.
_IN_DIGITS = re.compile(
    r"(?i)(?<![A-Za-z_0-9.])(?P<number>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]{1,30})?|[0-9]{1,60}(?:\.[0-9]{1,30})?)"
    rf"(?:/(?P<below>[0-9]{{1,30}})|(?P<percent> ?%| ?percent\b)|[ -](?P<size>{_SIZE})s?\b)?"
)
_WORDS = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
_MOST_WORDS = 13


def quantities(question: str) -> frozenset[Quantity]:
    """The different numbers in the text of a question.

    "one" is none of them: it mostly is no number ("which one"). A percentage may be used as such, as a share, or added
    to or taken from the whole; a fraction as a value or as its two numbers; a large number as one or by its digits
    alone ("2 million" as 2 * 10**6).
    """
    found = {_quantity(match) for match in _IN_DIGITS.finditer(question)}
    return frozenset(found | set(_in_words(_IN_DIGITS.sub(" , ", question))))


def share_used(question: str, used: Collection[Fraction]) -> float | None:
    """The share of a question's numbers that are among the numbers of a program; None for a question without any."""
    asked = quantities(question)
    have = frozenset(used)
    return sum(any(way <= have for way in quantity) for quantity in asked) / len(asked) if asked else None


def _quantity(match: re.Match[str]) -> Quantity:
    number = Fraction(match["number"].replace(",", ""))
    if match["percent"]:
        part = number / 100
        return _ways({number}, {part}, {1 - part}, {1 + part})
    if match["below"]:
        below = Fraction(match["below"])
        return _ways({number, below}, {number / below}) if below else _ways({number})
    if match["size"]:
        return _ways({number}, {number * _SIZES[match["size"].lower()]})
    return _ways({number})


def _in_words(text: str) -> list[Quantity]:
    """The numbers in words: the longest runs of words that are one."""
    out: list[Quantity] = []
    for sentence in re.split(r"[^A-Za-z\s-]", text):
        words = [part for word in _WORDS.findall(sentence.lower()) for part in word.split("-")]
        at = 0
        while at < len(words):
            size, value = _longest(words[at : at + _MOST_WORDS])
            if value is not None and words[at : at + size] != ["one"]:
                out.append(_ways({value}, *({v} for v in _parts(words[at : at + size]))))
            at += max(size, 1)
    return out


def _longest(words: list[str]) -> tuple[int, Fraction | None]:
    """How many of the first words are a number, and which; 0 where the first begins none."""
    if words[0] in ("half", "dozen"):
        return 1, Fraction(1, 2) if words[0] == "half" else Fraction(12)
    for size in range(len(words), 0, -1):
        if words[size - 1] != "and" and (value := number_in_words(" ".join(words[:size]))) is not None:
            return size, Fraction(value)
    return 0, None


def _parts(words: list[str]) -> list[Fraction]:
    """Other ways to hold a number in words: 2 for "half", 3 for "three dozen"."""
    if words == ["half"]:
        return [Fraction(2)]
    before = number_in_words(" ".join(words[:-1])) if len(words) > 1 and words[-1] in _SIZES else None
    return [Fraction(before)] if before is not None else []


def _ways(*ways: set[Fraction]) -> Quantity:
    return frozenset(frozenset(way) for way in ways)
