"""Seeded random questions. It uses the oracle, so only the meter and the corpus may import it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coevolve.worlds.miniature.grammar import MAX_DIGITS, NAMES, Step, digit_bound, is_reserved
from coevolve.worlds.miniature.operations import OPERATIONS, RARE, Operation
from coevolve.worlds.miniature.truth import evaluate


@dataclass(frozen=True, slots=True)
class Chain:
    """A question with its steps; ``text`` is what a learner may see."""

    text: str
    steps: tuple[Step, ...]


def questions(
    rng: random.Random,
    steps: int,
    *,
    reserved: bool,
    operations: Sequence[Operation] = OPERATIONS,
    must_use: Operation | None = None,
    paraphrased: float = 0.0,
) -> Iterator[Chain]:
    """Endless random questions of ``steps`` steps from one part of the world.

    Args:
        reserved: true for the meter's part, false for the corpus's part.
        must_use: an operation that every question contains.
        paraphrased: share of steps in their rare wording.
    """
    while True:
        chain = _chain(rng, steps, operations, must_use, paraphrased)
        if chain is not None and is_reserved(chain.text) == reserved:
            yield chain


def usual_operations() -> tuple[Operation, ...]:
    """The table without its rare row."""
    return tuple(operation for operation in OPERATIONS if operation is not RARE)


def _chain(
    rng: random.Random,
    length: int,
    operations: Sequence[Operation],
    must_use: Operation | None,
    paraphrased: float,
) -> Chain | None:
    """One attempt; None when no operation fits the number reached."""
    forced_at = rng.randrange(length) if must_use else -1
    steps: list[Step] = []
    sentences: list[str] = []
    value, digits = _first_number(rng), 0
    for index in range(length):
        x: int | str = steps[-1].name if steps else value
        digits = digits if steps else len(str(value))
        candidates = [must_use] if must_use and index == forced_at else operations
        drawn = _draw(rng, candidates, value, digits)
        if drawn is None:
            return None
        operation, n = drawn
        result = evaluate(operation.expression, {"x": value} if n is None else {"x": value, "n": n})
        if result is None:
            return None
        step = Step(NAMES[index], operation, x, n)
        steps.append(step)
        sentences.append(f"Let {step.name} = {word(rng, step, paraphrased)}. ")
        digits = digit_bound(operation, digits, len(str(n)) if n is not None else 0)
        value = result
    return Chain("".join(sentences) + f"Find {steps[-1].name}.", tuple(steps))


def word(rng: random.Random, step: Step, paraphrased: float) -> str:
    """The step in words."""
    operation = step.operation
    phrase = operation.paraphrase if rng.random() < paraphrased else rng.choice(operation.phrases)
    return phrase.format(x=step.x, n=step.n)


def _first_number(rng: random.Random) -> int:
    return rng.randint(12, 99) if rng.random() < 0.5 else rng.randint(100, 999)


def _draw(
    rng: random.Random, candidates: Sequence[Operation], x: int, digits: int
) -> tuple[Operation, int | None] | None:
    """An operation that makes sense on ``x`` and its second operand; large answer spaces are preferred."""
    fitting = [operation for operation in candidates if _makes_sense(operation, x)]
    while fitting:
        operation = rng.choices(fitting, [row.share for row in fitting])[0]
        n = _second(rng, operation, x)
        if digit_bound(operation, digits, len(str(n)) if n is not None else 0) <= MAX_DIGITS:
            return operation, n
        fitting.remove(operation)
    return None


def _makes_sense(operation: Operation, x: int) -> bool:
    """Keeps numbers of a size at which the answer cannot be guessed."""
    match operation.name:
        case "remainder":
            return x > 20
        case "digit sum" | "reverse":
            return x > 99
        case "octal":
            return x > 9
        case "square":
            return 3 < x < 1000
        case "product":
            return x > 2
        case _:
            return True


def _second(rng: random.Random, operation: Operation, x: int) -> int | None:
    if not operation.binary:
        return None
    if operation.name == "remainder":
        return rng.randint(7, min(x, 99) - 1) if x < 400 or rng.random() < 0.6 else rng.randint(100, min(x, 999) - 1)
    if operation.name == "product":
        return rng.randint(6, 99)
    return rng.randint(12, 99) if rng.random() < 0.5 else rng.randint(100, 999)
