"""The result of comparing two answers: the same or not, and which stage of the grader decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The stages of the grader, cheapest first, and the ways in which it gives up."""

    MISSING = "missing"  # one of the two is missing
    TEXT = "text"  # canonical keys, words
    NUMBER = "number"  # exact rational values
    FORM = "form"  # structures: lists, sets, tuples, intervals, matrices, relations
    FINGERPRINT = "fingerprint"  # numeric values at fixed points
    ROUNDED = "rounded"  # a decimal and the exact value that it rounds
    DOMAIN = "domain"  # where both have real values
    UNIT = "unit"  # only one of the two has a unit
    SYMBOLIC = "symbolic"  # math-verify
    TIMEOUT = "timeout"  # math-verify was killed; counts as different
    LIMIT = "limit"  # too large to be parsed; compared as text


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether two answers are the same, the stage that decided it, and why in one sentence."""

    same: bool
    stage: Stage
    why: str
