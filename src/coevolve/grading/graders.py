"""The graders for benchmarks, by kind of answer and mode: exact, math, choice, fuzzy."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from fractions import Fraction
from functools import partial
from string import ascii_uppercase

from coevolve.errors import ConfigError
from coevolve.grading.extract import first_boxed, last_boxed, last_complete_box, stated_answer
from coevolve.grading.grade import Grade, Grader, Item, Kind, Mode, Referee


def exact(mode: Mode, response: str, item: Item) -> Grade:
    """Right when the box holds the gold text: the same characters (Unicode NFC), case-sensitive, runs of spaces as one.

    Strict takes the last box, paper-compatible the first.
    """
    answer = last_boxed(response) if mode is Mode.STRICT else first_boxed(response)
    if answer is None:
        return Grade(False, None, "no boxed answer", parsed=False)
    right = one_line(answer) == one_line(item.gold)
    return Grade(right, answer, "the same text" if right else "another text")


def one_line(text: str) -> str:
    """The text with composed characters and single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def grader(kind: str, mode: str, judge: Referee, *, seed: int = 0) -> Grader:
    """The function that grades one response.

    Args:
        kind: math, choice, fuzzy or exact.
        mode: strict or paper-compatible.
        judge: decides whether two answers are the same; kept by the caller, who closes it.
        seed: of the letters that are drawn in paper-compatible choice.

    Raises:
        ConfigError: no such kind or mode.
    """
    how = Mode(_known("mode", mode, [m.value for m in Mode]))
    match Kind(_known("kind", kind, [k.value for k in Kind])):
        case Kind.MATH:
            return partial(mathematical, how, judge)
        case Kind.CHOICE:
            return partial(choice, how, judge, seed)
        case Kind.FUZZY:
            return partial(fuzzy, how)
        case Kind.EXACT:
            return partial(exact, how)


def mathematical(mode: Mode, judge: Referee, response: str, item: Item) -> Grade:
    """Right when the judge says that answer and gold are the same.

    Strict takes the last box. Paper-compatible takes the first box up to the last brace of its line, as R-Zero does;
    the language model that R-Zero lets turn wrong answers right afterwards is not part of it.
    """
    answer = last_boxed(response) if mode is Mode.STRICT else first_boxed(response)
    if answer is None:
        return Grade(False, None, "no boxed answer", parsed=False)
    verdict = judge.same(answer, item.gold)
    return Grade(verdict.same, answer, verdict.why)


def _known(what: str, name: str, names: list[str]) -> str:
    if name not in names:
        raise ConfigError(f"unknown {what} of grader: {name}", fix=f"one of {', '.join(names)}")
    return name


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

    Args:
        mode: strict or paper-compatible.
        judge: compares the text in the box with those of the options.
        seed: of the drawn letters.
        response: the text of the model.
        item: the question; its gold answer is a letter.

    Raises:
        ConfigError: the gold answer is not the letter of an option."""
    gold = gold_letter(item)
    return _strict(judge, response, item, gold) if mode is Mode.STRICT else _as_published(seed, response, item, gold)


def _strict(judge: Referee, response: str, item: Item, gold: str) -> Grade:
    answer = last_boxed(response)
    if answer is None:
        return Grade(False, None, "no boxed answer", parsed=False)
    letter, why = named_option(judge, answer, item.options)
    if letter is None:
        return Grade(False, answer, why, parsed=False)
    return Grade(letter == gold, letter, why)


def named_option(judge: Referee, answer: str, options: tuple[str, ...]) -> tuple[str | None, str]:
    """The letter of the option that the content of a box names by the strict rules, or None, and why.

    Args:
        judge: compares a text with those of the options.
        answer: what stands in the box.
        options: the texts of A, B, ...; where there are none any letter is one.
    """
    answer = bare(answer)
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


def gold_letter(item: Item) -> str:
    """The letter of the right option.

    Raises:
        ConfigError: the gold answer is not the letter of an option.
    """
    found = _LETTER.fullmatch(item.gold.strip())
    letters = ascii_uppercase[: len(item.options)] if item.options else ascii_uppercase
    if found and found[1].upper() in letters:
        return found[1].upper()
    raise ConfigError(
        f"the gold answer {item.gold[:60]!r} is not the letter of one of {len(item.options) or 26} options",
        where=item.key,
        fix="give the letter of the right option as gold answer",
    )


_STYLED = re.compile(r"\\(?:text|texttt|textbf|textit|textrm|mathrm|mathbf|boxed)\{(.*)\}")
_OPTION = re.compile(r"\((\S)\)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,64}(?:\.[0-9]{0,64})?|\.[0-9]{1,64})(?:e[+-]?[0-9]{1,2})?")


def fuzzy(mode: Mode, response: str, item: Item) -> Grade:
    """Right when answer and gold agree up to differences that the mode ignores.

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
    """Whether two short answers agree; symmetric. A lenient match uses only the first of several lines.

    Args:
        answer, gold: short texts.
        lenient: ignore what the paper-compatible mode ignores.
    """
    first, second = (short_key(text, lenient=lenient) for text in (answer, gold))
    return bool(first) and first == second


def short_key(text: str, *, lenient: bool) -> str:
    """A short answer without everything that the mode ignores; empty where nothing is left."""
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
