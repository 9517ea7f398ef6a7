"""The grammar of questions: it parses text into steps and computes no answer.

    Let a = 43 * 80. Let b = the remainder of a divided by 61. Find b.

A question is well formed when every step has all its operands, uses the step before it (so that no step is
idle), the last name is asked for, and the numbers cannot outgrow what the tool may print. All well-formed
questions have an answer.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache

from coevolve.worlds.miniature.operations import OPERATIONS, Operation

NAMES = "abcdefgh"
MAX_STEPS = len(NAMES)
MAX_DIGITS = 7  # of every value in a chain, by the bound below
MAX_LITERAL_DIGITS = 4

_OPERAND = r"0|[1-9][0-9]*|[a-h]"


@dataclass(frozen=True, slots=True)
class Step:
    """``name`` is defined as an operation on one or two operands: numbers or names."""

    name: str
    operation: Operation
    x: int | str
    n: int | str | None


def parse(question: str) -> tuple[Step, ...] | None:
    """The steps of a well-formed question, or None."""
    if not question.endswith("."):
        return None
    *lets, find = question[:-1].split(". ")
    if not 1 <= len(lets) <= MAX_STEPS:
        return None
    steps = [_step(sentence) for sentence in lets]
    complete = [step for step in steps if step is not None]
    if len(complete) < len(steps) or find != f"Find {complete[-1].name}":
        return None
    return tuple(complete) if _is_chain(complete) and _stays_small(complete) else None


def is_well_formed(question: str) -> bool:
    """Whether the question is complete and bounded."""
    return parse(question) is not None


def user_turns(question: str, most: int) -> tuple[str, ...]:
    """A well-formed chain as a dialogue of at most ``most`` user turns, each of which asks for its last name.

    The follow-ups have one step each, which needs the answer before it, and the opening turn has the others:
    ``Let a = 43 * 80. Find a.`` and then ``Let b = the digit sum of a. Find b.``. A chain of one step is one turn.
    """
    steps = parse(question)
    if steps is None or most < 2 or len(steps) < 2:
        return (question,)
    *lets, _ = question[:-1].split(". ")
    follow_ups = min(len(lets), most) - 1
    opening = len(lets) - follow_ups
    turns = (lets[:opening], *([let] for let in lets[opening:]))
    names = (steps[opening - 1].name, *(step.name for step in steps[opening:]))
    return tuple(f"{'. '.join(turn)}. Find {name}." for turn, name in zip(turns, names, strict=True))


def questions_so_far(question: str, turns: int) -> tuple[str, ...]:
    """What each of the ``turns`` of a dialogue asks, as a chain that is complete in itself."""
    steps = parse(question) or ()
    *lets, _ = question[:-1].split(". ")
    ends = range(len(steps) - turns + 1, len(steps) + 1)
    return tuple(f"{'. '.join(lets[:end])}. Find {steps[end - 1].name}." for end in ends)


def operations_used(question: str) -> tuple[str, ...]:
    """Names of the operations in order; empty when the question is malformed."""
    return tuple(step.operation.name for step in parse(question) or ())


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], bool, Operation], ...]:
    """Every wording as a pattern, whether it has a second operand, and its operation."""
    rows = []
    for operation in OPERATIONS:
        for phrase in (*operation.phrases, operation.paraphrase):
            pattern = re.escape(phrase)
            for mark in ("x", "n"):
                slot = re.escape("{" + mark + "}")
                pattern = pattern.replace(slot, f"(?P<{mark}>{_OPERAND})", 1).replace(slot, f"(?P={mark})")
            rows.append((re.compile(pattern), operation.binary, operation))
    return tuple(rows)


def _step(sentence: str) -> Step | None:
    head = re.fullmatch(r"Let ([a-h]) = (.+)", sentence)
    if head is None:
        return None
    for pattern, binary, operation in _patterns():
        body = pattern.fullmatch(head[2])
        if body is not None:
            n = _operand(body["n"]) if binary else None
            return Step(head[1], operation, _operand(body["x"]), n)
    return None


def _operand(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _is_chain(steps: list[Step]) -> bool:
    """Names are new, operands are known, and every step uses the one before it."""
    defined: list[str] = []
    for step in steps:
        used = [operand for operand in (step.x, step.n) if isinstance(operand, str)]
        if step.name in defined or any(name not in defined for name in used):
            return False
        if defined and defined[-1] not in used:
            return False
        if not _allowed_second(step):
            return False
        defined.append(step.name)
    return True


def _allowed_second(step: Step) -> bool:
    """A literal second operand is not trivially small; two equal names would make many operations trivial."""
    if isinstance(step.n, str):
        return step.n != step.x and not step.operation.literal
    return step.n is None or step.n >= step.operation.least


def _stays_small(steps: list[Step]) -> bool:
    """Literals have at most MAX_LITERAL_DIGITS digits and no value can have more than MAX_DIGITS."""
    size: dict[int | str | None, int] = {None: 0}
    for step in steps:
        for operand in (step.x, step.n):
            if isinstance(operand, int):
                size[operand] = len(str(operand))
                if size[operand] > MAX_LITERAL_DIGITS:
                    return False
        size[step.name] = digit_bound(step.operation, size[step.x], size[step.n])
        if size[step.name] > MAX_DIGITS:
            return False
    return True


def digit_bound(operation: Operation, x: int, n: int) -> int:
    """Upper bound of the digits of a result from the numbers of digits of its operands; knows no values.

    ``operation.digits`` is a sum of terms: ``x``, ``n``, ``max`` (of both) or a number.
    """
    terms = {"x": x, "n": n, "max": max(x, n)}
    return sum(terms[term] if term in terms else int(term) for term in operation.digits.split("+"))


SHARE = 16  # one question in so many is reserved


def is_reserved(question: str) -> bool:
    """True when the question is kept for measuring: never in the corpus, dropped from every pool."""
    normalised = " ".join(question.split())
    return hashlib.sha256(normalised.encode()).digest()[0] % SHARE == 0
