"""Whether an answer to a generated problem is right, where our grader for its kind does not decide that.

Nothing here evaluates a model's text as a program. All can be pickled, and take a time that the length of an answer
bounds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from coevolve.grading.equivalence import OWN_RULES
from coevolve.grading.graders import bare, one_line

LONGEST = 10_000  # characters; longer answers are none, unless the reference answer is that long
# What a scorer of the package raises about an answer that it cannot read.
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
_NUMBERS = re.compile(r"[0-9](?:[0-9.,]|\{,\}|\\[,!;: ])*")
_SIGNS = {
    r"\times": "×", r"\cdot": "×", "*": "×", r"\rightarrow": "→", r"\to": "→", r"\left": "", r"\right": "",
    r"\{": "{", r"\}": "}", r"\_": "_", r"\#": "#", r"\,": "", r"\ ": " ",
}  # fmt: skip
_SIGN = re.compile("|".join(re.escape(sign) + ("(?![A-Za-z])" if sign[-1].isalpha() else "") for sign in _SIGNS))
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_FOUR_OPERATIONS = re.compile(r"[0-9+\-*/() ]+")
_NOT_ONE_OF_THEM = re.compile(r"\*\*|//|[0-9] +[0-9]|\) *\(|[0-9] *\(|\) *[0-9]")


@dataclass(frozen=True, slots=True)
class Computed:
    """What our judge calls the same as the truth, with no more numbers in it: 12 + 30 is 42, but no answer."""

    truth: str

    def __call__(self, answer: str) -> bool:
        fewer = len(_NUMBERS.findall(answer)) <= len(_NUMBERS.findall(self.truth))
        return fewer and OWN_RULES.same(answer, self.truth).same


@dataclass(frozen=True, slots=True)
class Reaches:
    """An expression of + - * / and brackets that has this value and every one of the numbers once."""

    numbers: tuple[int, ...]
    target: int

    def __call__(self, answer: str) -> bool:
        text = _FRACTION.sub(r"((\1)/(\2))", plain(answer)).replace("×", "*").replace("÷", "/").replace("−", "-")
        if len(text) > LONGEST or not _FOUR_OPERATIONS.fullmatch(text) or _NOT_ONE_OF_THEM.search(text):
            return False
        used = sorted(re.findall(r"[0-9]+", text))
        return used == sorted(map(str, self.numbers)) and OWN_RULES.same(text, str(self.target)).same


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these texts, but for white space."""

    texts: frozenset[str]

    def __call__(self, answer: str) -> bool:
        return one_line(answer) in self.texts


@dataclass(frozen=True)
class ByPackage:
    """Full credit of the package's own scorer.

    Args:
        generator: its name in the package.
        parameters: of the generator.
        entry: the problem as the package made it.
    """

    generator: str
    parameters: tuple[tuple[str, object], ...]
    entry: Mapping[str, Any]

    def __call__(self, answer: str) -> bool:
        if len(answer) > max(LONGEST, 2 * len(self.entry["answer"] or "")):
            return False
        # Some scorers write into what they are given.
        entry = {**self.entry, "metadata": dict(self.entry["metadata"])}
        try:
            return float(_generator(self.generator, self.parameters).score_answer(plain(answer), entry)) >= 1.0
        except _UNREADABLE:
            return False


def plain(answer: str) -> str:
    r"""An answer without dollar signs, ``\text`` around it, and LaTeX where the package expects a character."""
    return _SIGN.sub(lambda match: _SIGNS[match[0]], bare(answer)).strip()


@lru_cache(maxsize=32)
def _generator(name: str, parameters: tuple[tuple[str, object], ...]) -> Any:
    return import_module("reasoning_gym").create_dataset(name, size=1, seed=0, **dict(parameters))
