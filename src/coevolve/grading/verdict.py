"""What grading says about a pair of answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The stage of grading that decided a pair."""

    MISSING = "missing"  # one of the two is no answer
    TEXT = "text"
    NUMBER = "number"
    FORM = "form"  # structure: sets, intervals, lists
    FINGERPRINT = "fingerprint"  # values at fixed points
    ROUNDED = "rounded"  # a decimal against an exact value
    UNIT = "unit"  # a unit on one side only
    SYMBOLIC = "symbolic"
    TIMEOUT = "timeout"
    LIMIT = "limit"  # over a bound, and so compared as text


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether two answers are the same, which stage said so, and why in one sentence."""

    same: bool
    stage: Stage
    why: str
