"""What our own rules say about a pair of answers."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.grading.canonical import canonical
from coevolve.grading.verdict import Stage, Verdict


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is known about one answer.

    Args:
        key: the canonical key, None for a missing answer.
        class_key: answers with equal ones are exactly the same; None when the answer has none.
        latex: rendered from our own tree for math-verify, None when it must not be asked.
    """

    key: str | None
    class_key: str | None
    latex: str | None


def parsed(answer: str) -> Parsed:
    """Read one answer. Raises nothing."""
    key = canonical(answer)
    return Parsed(key, key, None)


def decide(first: Parsed, second: Parsed) -> Verdict | None:
    """The verdict of our own rules, None when they leave the pair open. Symmetric."""
    if first.key is None or second.key is None:
        return Verdict(False, Stage.MISSING, "a missing answer equals nothing")
    same = first.key == second.key
    return Verdict(same, Stage.TEXT, f"both have {'the same' if same else 'another'} canonical text")


def weaker(first: Parsed, second: Parsed) -> bool:
    """Of two answers that are the same by stage UNIT or ROUNDED: whether the first lacks the unit or is rounded."""
    return False
