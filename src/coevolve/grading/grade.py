"""The input and output of graders for benchmarks: items, grades and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from coevolve.grading.verdict import Verdict


class Kind(StrEnum):
    """The kind of answer: mathematics, an option letter, a short text, an exact text."""

    MATH = "math"
    CHOICE = "choice"
    FUZZY = "fuzzy"
    EXACT = "exact"


class Mode(StrEnum):
    """How lenient to be: by our rules, or as the published numbers of R-Zero and Agent0 were computed."""

    STRICT = "strict"
    PAPER = "paper-compatible"


@dataclass(frozen=True, slots=True)
class Item:
    """What is known about a question.

    Args:
        gold: the true answer; for a choice its letter.
        options: the texts of A, B, ...; empty for other kinds, or when unknown.
        key: names the question; the letter drawn in paper-compatible mode depends on it.
    """

    gold: str
    options: tuple[str, ...] = ()
    key: str = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """
    Args:
        right: whether the answer counts as right.
        answer: the extracted answer, for display; None when there was none.
        why: one sentence.
        parsed: False when no answer could be read from the response; such a response is wrong, unless it was drawn.
        drawn: the answer is a letter drawn at random, which only the paper-compatible mode does.
    """

    right: bool
    answer: str | None
    why: str
    parsed: bool = True
    drawn: bool = False


Grader = Callable[[str, Item], Grade]  # the whole response of a model, and the question


class Referee(Protocol):
    """Says whether two answers are the same (``equivalence.Judge``)."""

    def same(self, first: str, second: str) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over many grades; shares are of all responses."""

    responses: int
    right: int
    unparsed: int
    drawn: int
    drawn_right: int  # right by luck

    @property
    def accuracy(self) -> float | None:
        """Share of right responses, in [0, 1]; None without any."""
        return self.right / self.responses if self.responses else None


def tally(grades: Iterable[Grade]) -> Tally:
    """Count grades."""
    listed = list(grades)
    return Tally(
        responses=len(listed),
        right=sum(grade.right for grade in listed),
        unparsed=sum(not grade.parsed for grade in listed),
        drawn=sum(grade.drawn for grade in listed),
        drawn_right=sum(grade.drawn and grade.right for grade in listed),
    )
