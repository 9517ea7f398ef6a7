r"""What stands in a box and is no answer: what a program said as it failed, and a question's expression given back.

A box of the first kind (``NameError: name 'length' is not defined``, ``(nothing was printed)``) would be a vote like
any other, and a label where several programs fail alike. One of the second kind (``24 + 32`` for "What is 24 + 32?")
equals the value, so that a solver which never computes anything could be rewarded. Nothing is computed here, and no
text is evaluated: the words and signs of a box are compared with those of its question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, isqrt
from typing import Literal, get_args

from coevolve.config import GradingSection
from coevolve.grading.plain import plain

Refusal = Literal["error", "unevaluated"]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)

_LONGEST = 4000  # characters of a box or a question that are looked at
_DIGITS = 64  # of a number whose value is looked at; a longer one is its text


@dataclass(frozen=True, slots=True)
class Refusing:
    """Which boxes are no answer: the two keys of ``grading``."""

    errors: bool = False
    unevaluated: bool = False

    @classmethod
    def of(cls, section: GradingSection) -> Refusing:
        """Those of a run."""
        return cls(section.refuse_errors, section.refuse_unevaluated)

    def __bool__(self) -> bool:
        return self.errors or self.unevaluated

    def why(self, answer: str, question: str, failures: Sequence[str] = ()) -> Refusal | None:
        """Why the content of a box is no answer; None where it is one.

        Args:
            answer: what stands in the box.
            question: what was asked.
            failures: what failed programs of this text have said.
        """
        if self.errors and repeats_an_error(answer, question, failures):
            return "error"
        return "unevaluated" if self.unevaluated and repeats_the_question(answer, question) else None


# --- what a program said ---

_CLASS = (
    r"(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Warning|Interrupt)|SystemExit|StopIteration|StopAsyncIteration|"
    r"GeneratorExit|ExceptionGroup|Exception|SessionLost|SnippetTooLong)"
)
_NAME_ALONE = re.compile(rf"{_CLASS}\s*:?")
_WITH_MESSAGE = re.compile(rf"(?<![\w.]){_CLASS}\s*:\s*(?P<message>\S.*)")
_NO_NAME = re.compile(r"(?i)error(?:\s*:.*)?")
_STYLE = re.compile(r"\\(?:text\w*|math\w+|mbox|operatorname)\s*\{|[{}$`\"“”\\]")
_SAID = re.compile(  # without spaces and brackets, in small letters
    r"nothing(?:was)?(?:printed)?\.?|theprogram(?:ended|wasnotrun):\w+\.?|.*tracebackmostrecentcalllast.*|"
    r"file['\"]?[<./].*line[0-9]+.*"
)
_ASKS_FOR_ERRORS = re.compile(r"(?i)\b(?:errors?|exceptions?|warnings?)\b")


def repeats_an_error(answer: str, question: str = "", failures: Iterable[str] = ()) -> bool:
    """Whether a box holds what a program said as it failed: an error's line with or without spaces, the beginning of a
    traceback, that nothing was printed, or how it ended.

    The name of an error alone is an answer where the question speaks of errors. "Hello, World" and "None" are answers
    of programs, however senseless: nothing in the text tells so.

    Args:
        answer: what stands in the box.
        question: what was asked.
        failures: what failed programs of this text have said; the message of an error is known without its name then.
    """
    text = " ".join(_STYLE.sub("", answer[:_LONGEST]).split("\n")).strip()
    if _NAME_ALONE.fullmatch(text):
        return not _ASKS_FOR_ERRORS.search(question)
    if _WITH_MESSAGE.search(text) or _NO_NAME.fullmatch(text) or _SAID.fullmatch(_squeezed(text)):
        return True
    return bool(text) and _squeezed(text) in {_squeezed(_STYLE.sub("", said)) for said in _messages(failures)}


def _messages(failures: Iterable[str]) -> Iterator[str]:
    """The messages of errors that are sentences: one word may well be a right answer that a program tripped over."""
    for text in failures:
        for line in text.split("\n"):
            found = _WITH_MESSAGE.search(line)
            if found and " " in found["message"].strip() and re.search("[A-Za-z]{2}", found["message"]):
                yield found["message"]


def _squeezed(text: str) -> str:
    """Without spaces and round brackets, which are lost where a model copies what it reads token by token."""
    return re.sub(r"[\s()]", "", text).casefold()


# --- a question's own expression ---

# What names an operation, in questions and in boxes; longer names first.
_WORDS = {
    "root": r"square roots?|sqrt",
    "gcd": r"greatest common (?:divisor|factor)|highest common factor|gcd|gcf|hcf",
    "lcm": r"least common multiple|lowest common multiple|lcm",
    "mod": r"remainder|modulo|mod",
    "+": r"plus|add|added|adding|addition|sum",
    "-": r"minus|subtract|subtracted|subtracting|subtraction|difference",
    "*": r"times|multiply|multiplied|multiplying|multiplication|product|(?<=%) ?of",
    "/": r"divide|divided|dividing|division|quotient",
    "^": r"squared?|cubed?|power|raised|exponent",
    "!": r"factorial",
}
_SIGNS = {"+": "+", "-": "-", "*": "*", r"\times": "*", r"\cdot": "*", "/": "/", "^": "^", "!": "!", r"\sqrt": "root"}
_SIGNS |= {r"\gcd": "gcd", r"\lcm": "lcm", r"\mod": "mod", r"\bmod": "mod", "%": "mod"}
_HIDDEN = {"square": "2", "squared": "2", "cube": "3", "cubed": "3"}  # numbers that a word stands for
_OPERATION = "|".join(rf"(?:{words})" for words in _WORDS.values())
_TOKEN = re.compile(
    r"(?P<number>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|"
    rf"(?P<operation>(?<![a-z])(?:{_OPERATION})(?![a-z]))|(?P<word>[a-z]+)|(?P<sign>\\[a-z]+|[-+*/^!]|%(?= ?[0-9(]))|"
    r"(?P<bracket>[(){}\[\]]|\\[{}])|(?P<percent>%)|(?P<other>\S)"
)
_FRACTION = re.compile(r"\\frac ?(?:\{([^{}]*)\}|([0-9])) ?(?:\{([^{}]*)\}|([0-9]))")
_OF_TWO = re.compile(r"(?<=gcd|lcm) ?\( ?([0-9]+) ?, ?([0-9]+) ?\)")
_CROSS = re.compile(r"(?<=[0-9]) ?[x×] ?(?=[0-9])")
_ENDS = frozenset((*")]}%!", r"\}"))  # what an expression may end with, besides a number
_SENTENCE = re.compile(r"(?<=[.?;:])\s+|\n+")
_SIDES = re.compile(r"=|\\approx(?![a-z])")
_VALUE = re.compile(r"[-+]?(?:[0-9]+ )?([0-9]+)/([0-9]+)")
_ROOT = re.compile(r"\\?sqrt ?[({]? ?([0-9]+) ?[)}]?")
# Questions that ask for an expression, or for one of several: it is their answer.
_ASKS_FOR_A_FORM = re.compile(
    r"\b(?:which|or|expressions?|equations?|factor\w*|notation|form)\b|\b(?:re)?(?:writ\w*|express\w*)\b.*\b(?:as|using)\b"
)


@dataclass
class _Reading:
    """Numbers, operations and other words of a piece of text, and whether there is anything else in it."""

    numbers: Counter[str] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    other: bool = False

    def within(self, asked: _Reading) -> bool:
        """Whether this is an expression of all the numbers of the other one with no operation but its own."""
        return self.numbers == asked.numbers and self.operations <= asked.operations


def repeats_the_question(answer: str, question: str) -> bool:
    """Whether a box is an arithmetic expression of the question, whose value is still to be computed.

    Such an expression has an operation at least, all numbers of the question or of one of its sentences in any order,
    and only operations that are asked for there in signs or words; or it is the only formula of the question. No
    expression is a fraction in lowest terms, which is a value, nor anything with letters that the question has not.
    Of an equation one side that is a number is enough: ``24 + 32 = 56`` says the value. Where the question asks for
    an expression, or for one of several, its expressions are answers.

    Args:
        answer: what stands in the box.
        question: what was asked.
    """
    if len(answer) > _LONGEST or len(question) > _LONGEST:
        return False
    asked = [_line(part) for part in _SENTENCE.split(question) if part.strip()]
    whole = " ".join(asked)
    if _ASKS_FOR_A_FORM.search(whole):
        return False
    sides = [side.strip(" ?.") for side in _SIDES.split(_line(answer))]
    sides = [side for side in sides if side and not re.fullmatch("[a-z ]+", side)]  # "x =", "the answer ="
    if not sides:
        return False
    everything = _read(whole)
    own = [everything, *map(_read, asked)]
    formulas = [formula for part in asked for formula in _formulas(part)]
    own += formulas if len(formulas) == 1 else []
    return all(_is_open(side, everything.words) and any(map(_read(side).within, own)) for side in sides)


def _is_open(side: str, known: set[str]) -> bool:
    """Whether this is an expression, in the words of its question where it has any, that is not a value already."""
    found = _read(side)
    if found.other or not found.operations or found.numbers.total() < (1 if found.operations <= {"!", "root"} else 2):
        return False
    if not found.words <= known or any(len(word) == 1 for word in found.words):
        return False
    value, root = _VALUE.fullmatch(re.sub("[()]", "", side)), _ROOT.fullmatch(side)
    if value is not None and len(value[0]) <= _DIGITS:
        top, bottom = int(value[1]), int(value[2])
        return bottom == 1 or gcd(top, bottom) != 1
    if "root" in found.operations:  # of a square it is a number; any other is as simple as it can be
        return root is not None and len(root[1]) <= _DIGITS and isqrt(int(root[1])) ** 2 == int(root[1])
    return True


def _line(text: str) -> str:
    """One line in small letters, quotients with a slash."""
    line, changed = _CROSS.sub(r" * ", plain(text)), 1
    while changed:
        line, changed = _FRACTION.subn(r"(\1\2)/(\3\4)", line)
    return _OF_TWO.sub(r" (\1 \2)", line.casefold())


def _read(text: str) -> _Reading:
    found = _Reading()
    for kind, token, operation in _tokens(text):
        if kind == "number":
            found.numbers[_number(token)] += 1
        elif operation:
            found.operations.add(operation)
            found.numbers.update([_HIDDEN[token]] if token in _HIDDEN else ())
        elif kind == "word":
            found.words.add(token)
        elif kind in ("other", "sign"):
            found.other = True
    return found


def _formulas(text: str) -> list[_Reading]:
    """The stretches of a text without words or commas that hold an operation of two numbers."""
    stretches: list[list[str]] = [[]]
    for kind, token, _ in _tokens(text):
        if kind in ("word", "operation", "other"):
            stretches.append([])
        else:
            stretches[-1].append(token)
    read = [_read(" ".join(stretch)) for stretch in stretches]
    return [x for x in read if x.operations and x.numbers.total() > 1]


def _tokens(text: str) -> Iterator[tuple[str, str, str]]:
    """Kind, text and operation of each token. A minus is a sign where it begins something, a hyphen within a word."""
    before = ""
    for match in _TOKEN.finditer(text):
        kind, token = str(match.lastgroup), match[0].strip()
        operation = _SIGNS.get(token, "") if kind == "sign" else ""
        if kind == "operation":
            operation = next(
                name for name, words in _WORDS.items() if re.fullmatch(words.replace(r"(?<=%) ?", ""), token)
            )
        if token in ("-", "+", "!") and not (
            before[-1:].isdigit() or before in _ENDS or _is_apart(text, match, before)
        ):
            kind, operation = "bracket", ""
        yield kind, token, operation
        before = token


def _is_apart(text: str, sign: re.Match[str], before: str) -> bool:
    """Whether a sign stands between spaces, behind a word such as a unit."""
    return before.isalpha() and text[sign.start() - 1] == " " and text[sign.end() : sign.end() + 1] == " "


def _number(text: str) -> str:
    """One spelling of each value."""
    digits = text.replace(",", "")
    return str(Fraction(digits)) if len(digits) <= _DIGITS else digits
