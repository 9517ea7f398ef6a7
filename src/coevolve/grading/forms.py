"""From one line of plain mathematics to its form: a number, a list, an interval, a relation, words.

The form of an answer has a key; two answers are exactly the same when their keys are equal.
"""

from __future__ import annotations

import re

from coevolve.grading import relations, statements, structures
from coevolve.grading.expression import Variable
from coevolve.grading.plain import unwrapped
from coevolve.grading.scalars import Form, joined_thousands, of_tree, scalar
from coevolve.grading.spoken import in_symbols
from coevolve.grading.tokens import Refused, TooLarge
from coevolve.grading.units import MARK
from coevolve.grading.words import option, products, words

MOST_DEPTH = 12  # structures in structures

_CLOCK = re.compile(
    r"(?i)(?:0?[1-9]|1[0-2])(?::[0-9]{2}(?::[0-9]{2})?)? ?[ap]\.?m\.?|"
    r"[0-9]{1,2}:[0-9]{2} ?[ap]\.?m\.?|[0-9]{1,2}:0[0-9](?::[0-9]{2})?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}")
_COMPUTER = re.compile(r"0[xX][0-9A-Fa-f]+|0[bB][01]+")
_BASED = re.compile(r"\(?([-+]?[0-9A-Fa-f.]*[0-9][0-9A-Fa-f.]*)\)? ?_ ?\{? ?\(? ?([0-9]{1,2}|[a-z]{3,}) ?\)? ?\}?")
_BASES = {
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_REALS = re.compile(r"(?i)\\(?:mathbb|Bbb) ?\{? ?R ?\}?|(?:the set of )?all real(?:s| numbers)?|real numbers")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_EMPTY = re.compile(r"\\emptyset|\\\{ ?\\\}|\{\}|(?:the )?empty set")
_STRUCTURES = (
    structures.lettered,
    structures.system,
    structures.matrix,
    structures.cases,
    statements.approximated,
    statements.domain,
    statements.residue,
    relations.relation,
    structures.union,
    structures.bracketed,
    structures.several,
)


def form(text: str, depth: int = 0) -> Form:
    """The form of a text that ``plain`` has produced; words or text when it is nothing else.

    Raises:
        TooLarge: a bound was exceeded."""
    if depth > MOST_DEPTH:
        raise TooLarge(f"more than {MOST_DEPTH} structures in each other")
    text = in_symbols(unwrapped(text))
    simple = _special(text)
    if simple:
        return simple

    def inner(part: str) -> Form:
        return form(part, depth + 1)

    for read in _STRUCTURES:
        try:
            found = read(text, inner)
        except TooLarge:
            raise
        except Refused:
            return as_text(text)
        if found:
            return found
    try:
        return structures.ratio(text) or scalar(text)
    except TooLarge:
        raise
    except Refused:
        return as_text(text)


def _special(text: str) -> Form | None:
    """Forms that are recognised by their whole text."""
    letter = option(text)
    if letter:
        return of_tree(Variable(letter), letter)
    if _CLOCK.fullmatch(text) or _DATE.fullmatch(text):
        return Form("text", "text " + re.sub(r"[ .]|:00(?= ?[ap])", "", text.casefold()), text)
    if _COMPUTER.fullmatch(text):
        return Form("text", "text " + text.casefold(), text)
    based = _BASED.fullmatch(text)
    if based and (based[2].isdigit() or based[2] in _BASES):
        shown = f"{based[1].upper()} in base {_BASES.get(based[2], based[2])}"
        return Form("number", shown, shown)
    if _REALS.fullmatch(text):
        return Form("interval", "(-infinity; infinity)", "all real numbers")
    if _EMPTY.fullmatch(text):
        return Form("list", "{}", "the empty set")
    phrase = words(text)
    if phrase and " and " not in text and " or " not in text and not products(text):
        return Form("words", "words " + phrase, phrase)
    return None


def as_text(text: str) -> Form:
    """A text that cannot be parsed, without spaces and braces around single symbols."""
    phrase = words(text)
    if phrase:
        return Form("words", "words " + phrase, phrase)
    text = joined_thousands(text.replace(MARK, ""))
    prose = re.search("[A-Za-z]{4}", _COMMAND.sub("", text))
    kept = re.sub(r"(?<=[\^_])\{ ?(\w|\\[A-Za-z]+) ?\}", r"\1 " if not prose else r"\1", text)
    kept = re.sub(r"(?<![\w]) | (?![\w])", "", kept) if prose else _unspaced(kept)
    return Form("text", "text " + (kept.casefold() if prose else kept), text)


def _unspaced(text: str) -> str:
    """Mathematics with only the spaces that end a command before a letter or separate two numbers."""
    text = re.sub(r"(?<![0-9]) +| +(?![0-9])", "", re.sub(r"(\\[A-Za-z]++) *(?=[A-Za-z])", "\\1\v", text))
    return re.sub(r"(\\(?:triangle|angle|overline))\{([A-Za-z]+)\}", "\\1\v\\2", text).replace("\v", " ")
