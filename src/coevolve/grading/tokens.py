"""The symbols of one line of mathematics, and the two ways in which reading it can fail."""

from __future__ import annotations

import re

MOST_TOKENS = 600
MOST_DIGITS = 300
_LONGEST_PRODUCT = 3  # letters side by side; more are a word, unless they have no vowel

FUNCTIONS = {
    name: name
    for name in (
        re.findall(
            r"\S+",
            "arcsin arccos arctan arcsec arccsc arccot sinh cosh tanh sin cos tan sec csc cot ln exp abs floor ceil lg",
        )
    )
} | {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "log": "ln", "factorial": "factorial", "ceiling": "ceil"}
GREEK = frozenset(
    re.findall(
        r"\S+",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda "
        "mu nu xi rho sigma tau upsilon phi chi psi omega "
        "Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega ell hbar",
    )
)
# Functions that are known only by their names.
NAMED_FUNCTIONS = frozenset(
    re.findall(r"\S+", "Var Cov Corr Pr Prob Std SD tr rank dim deg sgn sign Re Im Res Area Vol erf Li Si Ci Ei")
)
SYMMETRIC = frozenset(("max", "min", "gcd", "lcm"))  # of two arguments or more, in any order
_BRACKETS_AFTER = dict.fromkeys(NAMED_FUNCTIONS, ("(", "[")) | dict.fromkeys(SYMMETRIC, ("(", r"\{"))
_KNOWN = sorted([*FUNCTIONS, *GREEK, "sqrt", "pi", "infty", "infinity"], key=len, reverse=True)
_SHORT_GREEK = frozenset(("mu", "nu", "xi"))  # elsewhere these are two separate letters
_NEVER_PRODUCTS = frozenset(
    re.findall(r"\S+", "and or the mod min max gcd lcm lim det not one two six ten all yes no of to is")
)
_VOWELS = frozenset("aeiou")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3}(?![0-9A-Za-z.]))?)|"
    r"(?P<command>\\[A-Za-z]+|\\[{}|])|(?P<name>[A-Za-z]+)|(?P<sign>[-+*/^_!|(){}\[\],%']))"
)


class Refused(Exception):
    """The text is nothing that we know how to read."""


class TooLarge(Refused):
    """The text goes beyond the bounds."""


def is_number(token: str) -> bool:
    """Whether a token is a literal number."""
    return token[:1].isdigit() or (token[:1] == "." and token[1:2].isdigit())


def tokens(text: str) -> list[str]:
    """The tokens of a text; letters side by side are one token each.

    Raises:
        Refused: a character or a word that is not mathematics; TooLarge: too many tokens."""
    found: list[str] = []
    position = 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match or not match[0].isascii():
            raise Refused(f"{text[position]!r} is no mathematics")
        name = match["name"]
        if name and found[-2:] == ["_", "{"]:
            found.append(name)
        elif name and text[match.end() : match.end() + 3].lstrip().startswith(_BRACKETS_AFTER.get(name, ())):
            found.append("\\" + name)
        elif name and found[-1:] == ["_"]:  # only one letter belongs to it
            found += [name[0], *_letters(name[1:])]
        else:
            found += _letters(name) if name else [match[0].strip()]
        position = match.end()
        if len(found) > MOST_TOKENS:
            raise TooLarge(f"more than {MOST_TOKENS} symbols")
    return found


def _letters(name: str) -> list[str]:
    """Functions and constants written as words, the rest letter by letter."""
    if name in _NEVER_PRODUCTS:
        raise Refused(f"{name!r} is a word")
    found: list[str] = []
    run = position = 0
    while position < len(name):
        known = next((known for known in _KNOWN if name.startswith(known, position)), None)
        if known in _SHORT_GREEK and known != name:
            known = None
        if known:
            found.append("\\" + known)
            position, run = position + len(known), 0
            continue
        found.append(name[position])
        position, run = position + 1, run + 1
        if run > _LONGEST_PRODUCT + (not _VOWELS & set(name)):
            raise Refused(f"{name!r} is a word")
    return found
