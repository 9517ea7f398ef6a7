"""Random programs and inputs, for the textbook and for the meter: kept apart by the hash of the program."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from coevolve.worlds.code.items import is_reserved
from coevolve.worlds.code.operations import OPERATIONS, Chain, Step, Type, Value

LENGTHS = (0.35, 0.4, 0.25)  # shares of programs by number of steps, from 1
MOST_ITEMS = 4  # of a list
LARGEST_INPUT = 12


@dataclass(frozen=True, slots=True)
class Example:
    """A program with inputs and what it gives for them."""

    chain: Chain
    inputs: tuple[Value, ...]
    values: tuple[tuple[Value, ...], ...]  # of each input, by step

    @property
    def outputs(self) -> tuple[Value, ...]:
        """What the program gives."""
        return tuple(values[-1] for values in self.values)


def examples(rng: random.Random, *, reserved: bool, inputs: int = 1, steps: int | None = None) -> Iterator[Example]:
    """Endless programs with different inputs each.

    Args:
        reserved: those of the meter; else those of the textbook.
        inputs: of each program.
        steps: of each program; None: as LENGTHS says.
    """
    while True:
        n = steps or rng.choices(range(1, len(LENGTHS) + 1), LENGTHS)[0]
        chain = random_chain(rng, n)
        if chain is None or is_reserved(chain.text) is not reserved:
            continue
        found = _with_inputs(rng, chain, inputs)
        if found is not None:
            yield found


def random_chain(rng: random.Random, n: int, takes: Type | None = None) -> Chain | None:
    """A program of ``n`` steps whose types fit; None where the dice led into a dead end."""
    steps: list[Step] = []
    starts: tuple[Type, ...] = ("int", "list") if takes is None else (takes,)
    given = rng.choice(starts)
    for _ in range(n):
        fitting = [x for x in OPERATIONS if x.takes == given]
        if not fitting:
            return None
        operation = rng.choice(fitting)
        steps.append(Step(operation, rng.choice(operation.constants) if operation.constants else 0))
        given = operation.gives
    return Chain(tuple(steps))


def random_input(rng: random.Random, takes: Type) -> Value:
    """A small number, or a short list of digits."""
    if takes == "int":
        return rng.randint(0, LARGEST_INPUT)
    return [rng.randint(0, 9) for _ in range(rng.randint(2, MOST_ITEMS))]


def _with_inputs(rng: random.Random, chain: Chain, n: int) -> Example | None:
    found: dict[str, tuple[Value, tuple[Value, ...]]] = {}
    for _ in range(4 * n):
        given = random_input(rng, chain.takes)
        values = chain.values(given)
        if values is not None:
            found.setdefault(repr(given), (given, tuple(values)))
        if len(found) == n:
            return Example(chain, tuple(x for x, _ in found.values()), tuple(v for _, v in found.values()))
    return None
