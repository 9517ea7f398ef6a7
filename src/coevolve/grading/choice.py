"""Multiple choice: which option a response names."""

from __future__ import annotations

import hashlib
import re
from string import ascii_uppercase

from coevolve.errors import ConfigError
from coevolve.grading.exact import one_line
from coevolve.grading.extract import last_boxed, last_complete_box, stated_answer
from coevolve.grading.fuzzy import bare
from coevolve.grading.grade import Grade, Item, Mode, Referee

PAPER_LETTERS = "ABCDEFGHIJ"
_LETTER = re.compile(r"\(?([A-Za-z])(?:\)[.:]?|[.:])?")
_LETTER_AND_TEXT = re.compile(r"(?:\(([A-Za-z])\)[.:]?|([A-Za-z])[).:]) *(\S.*)", re.DOTALL)


def choice(mode: Mode, judge: Referee, seed: int, response: str, item: Item) -> Grade:
    """Right when the response names the gold option.

    Strict: the last box holds the letter as A, (A), A. or A), the letter with its own option's text, or a text that is
    the same as exactly one option's. Nothing is ever guessed: a box that names no option, and no box, is wrong and
    unparsed.

    Paper-compatible, as R-Zero's published numbers are made: the first letter of the alphabet from A to J that occurs
    anywhere in the last complete box (or else in what a line states as the answer); a response without one gets a
    letter drawn at random and is marked so. About one in ten of these is right by luck.

    Raises:
        ConfigError: the gold answer is no letter of an option.
    """
    gold = _gold_letter(item)
    return _strict(judge, response, item, gold) if mode is Mode.STRICT else _as_published(seed, response, item, gold)


def _strict(judge: Referee, response: str, item: Item, gold: str) -> Grade:
    answer = last_boxed(response)
    if answer is None:
        return Grade(False, None, "no boxed answer", parsed=False)
    letter, why = _named(judge, bare(answer), item.options)
    if letter is None:
        return Grade(False, answer, why, parsed=False)
    return Grade(letter == gold, letter, why)


def _named(judge: Referee, answer: str, options: tuple[str, ...]) -> tuple[str | None, str]:
    """The letter of the option that an answer names, or None, and why."""
    letters = ascii_uppercase[: len(options)] if options else ascii_uppercase
    by_text = [letter for letter, option in zip(letters, options, strict=False) if one_line(option) == one_line(answer)]
    alone = _LETTER.fullmatch(answer)
    if alone and (alone[1].isupper() or not by_text):  # a lower-case letter may be the text of an option
        letter = alone[1].upper()
        return (letter, "the letter") if letter in letters else (None, f"{letter} is no option")
    labelled = _LETTER_AND_TEXT.fullmatch(answer)
    if labelled and not by_text:
        letter = (labelled[1] or labelled[2]).upper()
        if letter in letters[: len(options)]:
            own = options[letters.index(letter)]
            if one_line(own) == one_line(labelled[3]) or judge.same(labelled[3], own).same:
                return letter, "the letter and its own text"
            return None, f"{letter} has another text"
    if not by_text:
        by_text = [n for n, option in zip(letters, options, strict=False) if judge.same(answer, option).same]
    if len(by_text) == 1:
        return by_text[0], f"the text of {by_text[0]}"
    return None, f"the text of {' and '.join(by_text)}" if by_text else "names no option"


def _as_published(seed: int, response: str, item: Item, gold: str) -> Grade:
    text = last_complete_box(response) or stated_answer(response) or ""
    found = next((letter for letter in PAPER_LETTERS if letter in text), None)
    if found is not None:
        return Grade(found == gold, found, f"the first of A to J in {text[:60]!r}")
    drawn = _draw(seed, item.key, response)
    return Grade(drawn == gold, drawn, "no letter given: drawn at random", parsed=False, drawn=True)


def _draw(seed: int, key: str, response: str) -> str:
    """A letter that depends on nothing but these three: not on the order of grading, nor on the Python version."""
    digest = hashlib.sha256(f"{seed}\0{key}\0{response}".encode("utf-8", "backslashreplace")).digest()
    return PAPER_LETTERS[int.from_bytes(digest[:8]) % len(PAPER_LETTERS)]


def _gold_letter(item: Item) -> str:
    found = _LETTER.fullmatch(item.gold.strip())
    letters = ascii_uppercase[: len(item.options)] if item.options else ascii_uppercase
    if found and found[1].upper() in letters:
        return found[1].upper()
    raise ConfigError(
        f"the gold answer {item.gold[:60]!r} is not the letter of one of {len(item.options) or 26} options",
        where=item.key,
        fix="give the letter of the right option as gold answer",
    )
