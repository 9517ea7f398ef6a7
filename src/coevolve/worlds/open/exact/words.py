"""Patterns of words with places for numbers, things and people, and whether two things are the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from coevolve.worlds.open.exact.measures import number

# In patterns: N is a number, T a thing of one to three words, W a word, S who it is about.
_NO_THING = (
    "and|in|of|to|from|each|for|with|he|she|they|are|is|if|at|per|then|more|left|every|does|do|than|as|on|by|cost|costs"
)
_MACROS = {
    "N": r"([0-9]+(?:\.[0-9]+)?)",
    "T": rf"(?:(?:(?!(?:{_NO_THING})\b)[a-z]+)(?: (?!(?:{_NO_THING})\b)[a-z]+){{0,2}}?)",
    "S": r"(?:he|she|they|it|(?!(?:and|then)\b)[a-z]+)",
    "W": r"[a-z]+",
}
_MACRO = re.compile(r"\b([NTSW])\b")


def pattern(words: str) -> re.Pattern[str]:
    """A pattern in which N, T, S and W stand for what they do above.

    A line break in it is a space; none after ``|``, nor between a group that has a space of its own there.
    """
    joined = re.sub(r"\s*\n\s*", " ", re.sub(r"(\|| \)\??)\s*\n\s*|\s*\n\s*(?=\(\?: )", r"\1", words))
    return re.compile(_MACRO.sub(lambda found: _MACROS[found[1]], joined))


def numbers_of(match: re.Match[str]) -> list[Fraction]:
    """The numbers of a match, in order."""
    return [number(group) for group in match.groups() if group and group[0].isdigit()]


def one_thing(things: Sequence[str | None]) -> bool:
    """Whether all that are named are the same thing: the last word counts, in the singular."""
    return len({singular(name.split()[-1]) for name in things if name}) <= 1


def singular(noun: str) -> str:
    for ending, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if noun.endswith(ending) and len(noun) > len(ending) + 1:
            return noun[: -len(ending)] + instead
    return noun
