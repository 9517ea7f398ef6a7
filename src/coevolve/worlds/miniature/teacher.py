"""The offline teacher of the miniature world: it writes chains, mutates those that were failed, and judges exactly.

It knows the truth, so no learner may import it: a run starts it as a process of its own and asks over HTTP, as it
would ask any model. Every reply is a function of the request alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from coevolve.teacher.offline import serve
from coevolve.teacher.protocol import Ask, Seed, Variation, Verdict
from coevolve.worlds.miniature.generator import questions, usual_operations
from coevolve.worlds.miniature.grammar import Step, parse
from coevolve.worlds.miniature.operations import Operation
from coevolve.worlds.miniature.truth import answer, evaluate

LONGEST = 5  # steps of a problem
_SEED_STEPS = (1, 2, 3, 4)
_INTEGER = re.compile(r"\s*-?[0-9]{1,12}\s*")


def reply(ask: Ask) -> dict[str, Any]:
    """What the teacher says to a request."""
    match ask:
        case Seed():
            rng = random.Random(f"seed {ask.number}")
            return _posed(rng, rng.choice(_SEED_STEPS), None)
        case Variation():
            rng = random.Random(f"variation {ask.number} {ask.problem}")
            steps = parse(ask.problem)
            if steps is None:
                return _posed(rng, 1, None)
            at = step_at_fault(steps, ask.wrong_answer)
            # As many steps as lead to the error, or one more or less: what went right before it stays part of it.
            return _posed(rng, min(max(at + 1 + rng.choice((-1, 0, 1)), 1), LONGEST), steps[at].operation)
        case Verdict():
            truth = answer(ask.problem)
            right = truth is not None and _INTEGER.fullmatch(ask.answer) is not None and int(ask.answer) == int(truth)
            return {"right": right}


def step_at_fault(steps: tuple[Step, ...], text: str) -> int:
    """The first step for which a text states another value than the true one; the last step where there is none.

    Args:
        steps: of the problem.
        text: an answer to it: ``b = 24. `` or a program with its output.
    """
    values = _values(steps)
    for index, step in enumerate(steps):
        stated = re.findall(
            rf"{step.name} = (-?[0-9]+)\. |{step.name}:\n(?:(?!output).)*output\n(\S+)\n", text, re.DOTALL
        )
        if stated and str(values.get(step.name)) not in stated[-1]:
            return index
    return len(steps) - 1


def _posed(rng: random.Random, length: int, practised: Operation | None) -> dict[str, str]:
    """A problem of so many steps with its worked solution; an operation that must occur in it."""
    chain = next(questions(rng, length, reserved=False, operations=usual_operations(), must_use=practised))
    values = _values(chain.steps)
    programs = [
        f"{step.name}:\n```python\nprint({step.operation.expression.format(**_operands(step, values))})\n```\n"
        f"```output\n{values[step.name]}\n```\n"
        for step in chain.steps
    ]
    final = str(values[chain.steps[-1].name])
    return {"problem": chain.text, "solution": f"{''.join(programs)}\\boxed{{{final}}}", "answer": final}


def _values(steps: tuple[Step, ...]) -> dict[str, int]:
    """The true value of each step, up to one that has none."""
    values: dict[str, int] = {}
    for step in steps:
        value = evaluate(step.operation.expression, _operands(step, values))
        if value is None:
            break
        values[step.name] = value
    return values


def _operands(step: Step, values: Mapping[str, int]) -> dict[str, int]:
    """Those that have a value."""
    named = {"x": step.x, "n": step.n}
    known = {name: values.get(x) if isinstance(x, str) else x for name, x in named.items()}
    return {name: value for name, value in known.items() if value is not None}


if __name__ == "__main__":
    serve(reply)
