"""A textbook of mixed quality for the base model: it contains every format and few correct solutions.

Each document is a question and a worked answer. A step is either a sentence without the tool (``b = 24. ``, often wrong
on large numbers) or a code block with its output; code is correct about two times in three, sometimes plausible and
wrong, and sometimes it fails and is retried. Some questions are malformed and have no answer. A share of the documents
can be dialogues: the same chain, asked in several user turns. It serves pretraining only: nothing that learns by
reinforcement ever sees it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from coevolve.worlds.miniature.generator import Chain, questions
from coevolve.worlds.miniature.grammar import Step, is_reserved, is_well_formed, questions_so_far, user_turns
from coevolve.worlds.miniature.learner import CLOSE, ERROR, OPEN, MiniatureContract
from coevolve.worlds.miniature.truth import evaluate
from coevolve.worlds.miniature.vocabulary import EOS

MOST_TURNS = 4  # of a dialogue in the corpus


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of the corpus. They determine how much the base model solves at the start, not how well it copies."""

    steps: tuple[float, ...] = (0.26, 0.26, 0.21, 0.15, 0.12)  # documents by number of steps, from 1
    styles: tuple[float, float, float] = (0.52, 0.28, 0.20)  # all mental, each step either way, all tool
    code_right: float = 0.68
    code_wrong: float = 0.18  # runs, but means something else; the rest fails
    retry: float = 0.6  # tries again after a failure; otherwise goes on in the head
    mental_right_small: float = 0.85  # numbers below ``small``
    mental_right: float = 0.5
    small: int = 20
    damaged: float = 0.07
    paraphrased: float = 0.006
    dialogues: float = 0.0  # of all documents; the other shares hold within both kinds, none of these is damaged
    recalled: float = 0.6  # follow-ups that go on from the answer before; the others take another number for it


ALL_TOOL = replace(Mixture(), styles=(0.0, 0.0, 1.0), code_right=1.0, code_wrong=0.0, damaged=0.0, recalled=1.0)


@dataclass(slots=True)
class Document:
    """A text in pieces; the model is trained on all pieces but observations."""

    pieces: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The whole document, without the end token."""
        return "".join(piece for piece, _ in self.pieces)


def documents(mixture: Mixture, seed: int | str) -> Iterator[Document]:
    """An infinite stream of documents; equal seeds give equal documents."""
    rng = random.Random(f"corpus {seed}")
    lengths = range(1, len(mixture.steps) + 1)
    sources = {n: questions(rng, n, reserved=False, paraphrased=mixture.paraphrased) for n in lengths}
    while True:
        if mixture.dialogues and rng.random() < mixture.dialogues:
            chain = next(sources[rng.choices(lengths[1:], mixture.steps[1:])[0]])
            turns = user_turns(chain.text, rng.randint(2, min(MOST_TURNS, len(chain.steps))))
            if not any(map(is_reserved, questions_so_far(chain.text, len(turns)))):
                yield _worked(rng, mixture, chain, turns)
            continue
        chain = next(sources[rng.choices(lengths, mixture.steps)[0]])
        if rng.random() < mixture.damaged:
            yield Document([(f"{OPEN}{damage(rng, chain)}{CLOSE}\n", True)])
        else:
            yield _worked(rng, mixture, chain)


def damage(rng: random.Random, chain: Chain) -> str:
    """The question with one fault that the grammar rejects."""
    while True:
        text = _damaged(rng, chain)
        if not is_well_formed(text):
            return text


def _damaged(rng: random.Random, chain: Chain) -> str:
    *lets, find = chain.text.split(". ")
    match rng.randrange(4):
        case 0:
            return ". ".join(lets) + "."
        case 1:
            return ". ".join([*lets, f"Find {rng.choice('abcdefgh')}."])
        case 2:
            index = rng.randrange(len(lets))
            step = chain.steps[index]
            lets[index] = lets[index].replace(f" {step.n}" if step.n is not None else f" {step.x}", " ", 1)
            return ". ".join([*lets, find])
        case _:
            index = rng.randrange(len(lets))
            return ". ".join([*lets[:index], *lets[index + 1 :], find])


def _worked(rng: random.Random, mixture: Mixture, chain: Chain, turns: Sequence[str] = ()) -> Document:
    """A question with its worked answer, or several one after the other. Later steps build on what is written, right
    or wrong.

    Args:
        turns: the user turns of a dialogue, of which all but the first ask for one step; none: one plain question.
    """
    contract = MiniatureContract()
    opening, *follow_ups = turns or (chain.text,)
    document = Document([(f"{OPEN}{opening}{CLOSE}\n", True)])
    style = rng.choices(("mental", "mixed", "tool"), mixture.styles)[0]
    values: dict[str, int] = {}
    opened = len(chain.steps) - len(follow_ups)
    for index, step in enumerate(chain.steps):
        if index >= opened:
            document.pieces.append((f"\\boxed{{{values[chain.steps[index - 1].name]}}}{EOS}", True))
            document.pieces.append((contract.follow_up(follow_ups[index - opened], ended=True), False))
        known = values if index < opened else _recalled(rng, mixture, chain.steps[: index + 1], values)
        by_tool = style == "tool" or (style == "mixed" and rng.random() < 0.5)
        value = _by_tool(rng, mixture, step, known, document) if by_tool else None
        if value is None:
            value = _in_the_head(rng, mixture, step, known)
            document.pieces.append((f"{step.name} = {value}. ", True))
        values[step.name] = value
    document.pieces.append((f"\\boxed{{{values[chain.steps[-1].name]}}}", True))
    return document


def _recalled(rng: random.Random, mixture: Mixture, steps: Sequence[Step], values: dict[str, int]) -> dict[str, int]:
    """``values`` as a follow-up to the last of ``steps`` takes them: the answer before it may be another number."""
    if rng.random() < mixture.recalled:
        return values
    before = steps[-2].name
    literals = [operand for step in steps for operand in (step.x, step.n) if isinstance(operand, int)]
    others = sorted({*literals, *values.values()} - {values[before]})
    return {**values, before: rng.choice(others)} if others else values


def _operands(step: Step, values: dict[str, int]) -> dict[str, int]:
    x = values[step.x] if isinstance(step.x, str) else step.x
    n = values[step.n] if isinstance(step.n, str) else step.n
    return {"x": x} if n is None else {"x": x, "n": n}


def _by_tool(
    rng: random.Random, mixture: Mixture, step: Step, values: dict[str, int], document: Document
) -> int | None:
    """Write code blocks until one prints a number; None when the writer gives up on the tool."""
    operands = _operands(step, values)
    while True:
        draw = rng.random()
        if draw < mixture.code_right:
            expression = step.operation.expression
        elif draw < mixture.code_right + mixture.code_wrong:
            expression = rng.choice(step.operation.wrong)
        else:
            expression = step.operation.expression.replace("{x}", step.name)
        printed = evaluate(expression, operands)
        document.pieces.append(
            (f"{step.name}:\n```python\nprint({expression.format(**operands)})\n```\n```output\n", True)
        )
        document.pieces.append((f"{ERROR if printed is None else printed}\n```\n", False))
        if printed is not None or rng.random() >= mixture.retry:
            return printed


def _in_the_head(rng: random.Random, mixture: Mixture, step: Step, values: dict[str, int]) -> int:
    """The right value, or one with a changed digit."""
    operands = _operands(step, values)
    right = evaluate(step.operation.expression, operands)
    if right is None:
        return rng.randint(10, 999)
    small = max(operands.values()) < mixture.small
    if rng.random() < (mixture.mental_right_small if small else mixture.mental_right):
        return right
    digits = list(str(abs(right)))
    place = rng.randrange(len(digits))
    digits[place] = rng.choice([digit for digit in "0123456789" if digit != digits[place]])
    return int("".join(digits))
