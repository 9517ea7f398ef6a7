r"""Short answers of BBEH: words, option letters, numbers, lists.

The official match of BBEH overlooks case, spaces after commas, bold marks, quotation marks, a closing period or
question mark, brackets around everything and parentheses around a letter, and compares numbers by value. The
paper-compatible mode overlooks the same. The strict mode overlooks only case, spaces, LaTeX dress, a closing period and
parentheses around an option letter; lists keep their order in both. Numbers are compared
exactly, not as floating point.
"""

from __future__ import annotations

import re
from fractions import Fraction

from coevolve.grading.exact import one_line
from coevolve.grading.extract import last_boxed, last_complete_box, stated_answer
from coevolve.grading.grade import Grade, Item, Mode

_STYLED = re.compile(r"\\(?:text|texttt|textbf|textit|textrm|mathrm|mathbf|boxed)\{(.*)\}")
_OPTION = re.compile(r"\((\S)\)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,64}(?:\.[0-9]{0,64})?|\.[0-9]{1,64})(?:e[+-]?[0-9]{1,2})?")


def fuzzy(mode: Mode, response: str, item: Item) -> Grade:
    """Right when answer and gold agree but for what the mode overlooks.

    Strict takes the last box. Paper-compatible takes the last complete box, or else what a line states as the answer.
    """
    strict = mode is Mode.STRICT
    answer = last_boxed(response) if strict else last_complete_box(response) or stated_answer(response)
    if answer is None:
        return Grade(False, None, "no answer", parsed=False)
    if alike(answer, item.gold, lenient=not strict):
        return Grade(True, answer, "the same")
    return Grade(False, answer, "not the same")


def alike(answer: str, gold: str, *, lenient: bool) -> bool:
    """Whether two short answers agree; symmetric. Of several lines a lenient match sees the first only."""
    first, second = (_key(text, lenient=lenient) for text in (answer, gold))
    return bool(first) and first == second


def _key(text: str, *, lenient: bool) -> str:
    """What is left of a text once everything to be overlooked is gone."""
    text = bare(text)
    if lenient:
        text = text.replace("**", "").split("\n")[0].strip()
        text = text.removesuffix(".").removesuffix("?").replace("'", "").replace("’", "")
        if text.startswith("[") and text.endswith("]"):
            text = text[1:-1]
    text = one_line(text).casefold().removesuffix(".").strip()
    text = re.sub(r" ?, ?", ",", text)
    option = _OPTION.fullmatch(text)
    return _value(option[1] if option else text)


def bare(text: str) -> str:
    r"""The text without dollar signs and ``\text{...}`` around all of it."""
    previous = None
    while text != previous:
        previous = text
        text = text.strip().removeprefix("$").removesuffix("$").strip()
        styled = _STYLED.fullmatch(text)
        if styled and "}" not in styled[1]:
            text = styled[1]
    return text


def _value(text: str) -> str:
    """One spelling per number; any other text as it is."""
    if not _NUMBER.fullmatch(text):
        return text
    return str(Fraction(text))
