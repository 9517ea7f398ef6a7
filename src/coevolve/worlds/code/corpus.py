"""The textbook of the world of programs: every format, and answers of which fewer than half are right.

Each document is a task with an answer, or a proposal that follows on examples. Wrong answers are wrong in one step:
a number that is off, an operation or a constant that is not the program's. It serves pretraining only."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from coevolve.types import PROPOSER, Origin
from coevolve.worlds.base import PromptContext
from coevolve.worlds.code.contract import CLOSE, CodeContract
from coevolve.worlds.code.generator import Example, examples, random_chain, random_input
from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, INDUCTION, KINDS, PAIRS, Proposal, Triplet
from coevolve.worlds.code.operations import OPERATIONS, VARIABLES, Chain, Step, Value
from coevolve.worlds.miniature.corpus import Document

_ORIGIN = Origin("world", PROPOSER, 0)
_MOST_SHOWN = 2  # examples before a proposal


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of the textbook."""

    answers: tuple[float, float, float] = (0.26, 0.22, 0.2)  # documents with an answer, by type of task
    proposals: tuple[float, float, float] = (0.11, 0.11, 0.1)  # documents with a proposal, likewise
    right: float = 0.4  # of the answers
    damaged: float = 0.1  # of the proposals


RIGHT = replace(Mixture(), right=1.0, damaged=0.0)


def documents(mixture: Mixture, seed: str) -> Iterator[Document]:
    """An infinite stream of documents; equal seeds give equal documents."""
    rng = random.Random(f"programs {seed}")
    single, several = examples(rng, reserved=False), examples(rng, reserved=False, inputs=PAIRS)
    kinds = [(kind, proposed) for proposed in (False, True) for kind in KINDS]
    while True:
        kind, proposed = rng.choices(kinds, (*mixture.answers, *mixture.proposals))[0]
        example = next(several if kind == INDUCTION else single)
        if proposed:
            shown = [next(single) for _ in range(rng.randint(0, _MOST_SHOWN))]
            yield _proposal(rng, mixture, kind, example, shown)
        else:
            yield _answered(rng, mixture, kind, example)


def triplet_of(kind: str, example: Example) -> Triplet:
    """The task of an example."""
    message = example.chain.message if kind == INDUCTION else ""
    inputs, outputs = (tuple(map(_literal, values)) for values in (example.inputs, example.outputs))
    return Triplet(Proposal(kind, example.chain.text, inputs, message), outputs)


def _literal(value: Value) -> str:
    return repr(value)


def _proposal(rng: random.Random, mixture: Mixture, kind: str, example: Example, shown: list[Example]) -> Document:
    """Examples, and a task that follows on them; of an induction task the program is the example."""
    triplet = triplet_of(kind, example)
    if kind == INDUCTION:
        texts: tuple[str, ...] = (triplet.proposal.program,)
        written = "\n".join([triplet.proposal.message, *(f"f({given})" for given in triplet.proposal.inputs)])
    else:
        texts = tuple(triplet_of(DEDUCTION, one).shown for one in shown)
        written = triplet.proposal.written
    if rng.random() < mixture.damaged:
        written = _damaged(rng, written)
    prompt = CodeContract().prompt(PROPOSER, PromptContext(examples=texts, kind=kind))
    return Document([(prompt, False), (f"{written}{CLOSE}", True)])


def _damaged(rng: random.Random, text: str) -> str:
    """A line is missing, twice there, or speaks of a variable that is none."""
    lines = text.split("\n")
    index = rng.randrange(len(lines))
    match rng.randrange(3):
        case 0:
            return "\n".join(lines[:index] + lines[index + 1 :])
        case 1:
            return "\n".join([*lines[: index + 1], *lines[index:]])
        case _:
            return text.replace("return ", "return d", 1) if "return " in text else lines[0]


def _answered(rng: random.Random, mixture: Mixture, kind: str, example: Example) -> Document:
    triplet = triplet_of(kind, example)
    question = CodeContract().follow_up(triplet.question, ended=True)
    right = rng.random() < mixture.right
    answer = {DEDUCTION: _deduced, ABDUCTION: _abduced, INDUCTION: _induced}[kind](rng, example, right)
    return Document([(question, False), (answer, True)])


def _deduced(rng: random.Random, example: Example, right: bool) -> str:
    """The value of each step, then the last one in the box; from a wrong step on all is as it follows from it."""
    chain, given = example.chain, example.inputs[0]
    wrong = None if right else rng.randrange(len(chain.steps))
    values: list[Value] = []
    for index, step in enumerate(chain.steps):
        given = step.operation.apply(given or [rng.randint(0, 9)] if isinstance(given, list) else given, step.constant)
        given = _off(rng, given) if index == wrong else given
        values.append(given)
    return _worked(list(zip(VARIABLES[1:], values[:-1], strict=False)), values[-1])


def _abduced(rng: random.Random, example: Example, right: bool) -> str:
    """The value of each step from the last to the first, then the input in the box."""
    values, given = example.values[0], example.inputs[0]
    named = list(zip(VARIABLES[1:], values[:-1], strict=False))[::-1]
    if right:
        return _worked(named, given)
    wrong = rng.randrange(len(named) + 1)
    named = [(name, _off(rng, value) if index == wrong else value) for index, (name, value) in enumerate(named)]
    return _worked(named, _off(rng, given) if wrong == len(named) else random_input(rng, example.chain.takes))


def _induced(rng: random.Random, example: Example, right: bool) -> str:
    """A program in the box."""
    return f"\\boxed{{{(example.chain if right else _altered(rng, example.chain)).text}}}"


def _altered(rng: random.Random, chain: Chain) -> Chain:
    """The program with another constant or another operation of the same types; where there is none, any program."""
    index = rng.randrange(len(chain.steps))
    step = chain.steps[index]
    alike = [
        Step(other, n)
        for other in OPERATIONS
        if (other.takes, other.gives) == (step.operation.takes, step.operation.gives)
        for n in (other.constants or (0,))
    ]
    others = [one for one in alike if one != step]
    if not others:
        return random_chain(rng, 1, chain.takes) or chain
    return Chain((*chain.steps[:index], rng.choice(others), *chain.steps[index + 1 :]))


def _off(rng: random.Random, value: Value) -> Value:
    """Another value of the same type, not far from it."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10))
    changed = [*value]
    if len(changed) > 1 and rng.random() < 0.5:
        i, j = rng.sample(range(len(changed)), 2)
        changed[i], changed[j] = changed[j], changed[i]
    if changed == value:
        changed = [*value, rng.randint(0, 9)] if len(value) < 2 or rng.random() < 0.5 else value[:-1]
    return changed


def _worked(named: list[tuple[str, Value]], answer: Value) -> str:
    return "".join(f"{name} = {value!r}. " for name, value in named) + f"\\boxed{{{answer!r}}}"
