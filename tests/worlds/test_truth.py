"""The oracle against plain Python written here, its refusal of everything outside the white list, and its wall."""

from __future__ import annotations

import random
import re
from itertools import islice

import pytest

from coevolve.types import PROPOSER, Origin, Task
from coevolve.worlds.miniature.generator import questions
from coevolve.worlds.miniature.learner import MiniatureWorld
from coevolve.worlds.miniature.truth import answer, evaluate
from coevolve.worlds.open.learner import OpenWorld

ORACLE = [
    (r"(\w+) (?:\*|times) (\d+)|the product of (\w+) and (\w+)", lambda x, n: x * n),
    (r"(\w+) (?:\+|plus) (\w+)|the sum of (\w+) and (\w+)", lambda x, n: x + n),
    (
        r"the (?:difference|distance) of (\w+) and (\w+)|(\w+) minus (\w+) or .*",
        lambda x, n: max(x, n) - min(x, n),
    ),
    (
        r"(\w+) mod (\w+)|the remainder of (\w+) divided by (\w+)|what is left of (\w+) divided by (\w+)",
        lambda x, n: x - n * (x // n),
    ),
    (r"the digit sum of (\w+)|the sum of the digits of (\w+)", lambda x: sum(ord(c) - 48 for c in str(x))),
    (r"the reverse of (\w+)|(\w+) read from the end", lambda x: int("".join(reversed(str(x))))),
    (r"the square of (\w+)|(\w+) times itself", lambda x: x**2),
    (
        r"(\w+) xor (\w+)|the xor of (\w+) and (\w+)|the bits of (\w+) xor the bits of (\w+)",
        lambda x, n: (x | n) - (x & n),
    ),
    (r"the octal form of (\w+)|(\w+) in octal digits", lambda x: int(f"{x:o}")),
]


def oracle(question: str) -> str:
    """The answer by patterns and arithmetic of its own; shares no code with the world."""
    values: dict[str, int] = {}
    *lets, find = question.rstrip(".").split(". ")
    for sentence in lets:
        name, body = re.fullmatch(r"Let (\w) = (.*)", sentence).groups()
        for pattern, compute in ORACLE:
            found = re.fullmatch(pattern, body)
            if found:
                operands = [group for group in found.groups() if group]
                values[name] = compute(*(values.get(o) if o in values else int(o) for o in operands))
                break
        else:
            raise AssertionError(f"the oracle does not understand {body!r}")
    return str(values[find.split()[1]])


@pytest.mark.parametrize("steps", range(1, 7))
def test_truth_agrees_with_an_independent_oracle(steps: int) -> None:
    source = questions(random.Random(f"truth {steps}"), steps, reserved=True, paraphrased=0.3)
    for chain in islice(source, 200):
        assert answer(chain.text) == oracle(chain.text)


def test_a_chain_may_use_earlier_names_and_bare_numbers() -> None:
    question = "Let a = 43 * 80. Let b = the reverse of a. Let c = the difference of b and a. Find c."
    assert answer(question) == str(3440 - 443)
    assert answer("Let a = 7 xor 12. Find a.") == "11"


def test_malformed_questions_have_no_answer() -> None:
    assert answer("Let a = 43 mod 0. Find a.") is None
    assert answer("Let a = the square of 43. Find b.") is None
    assert answer("nonsense") is None


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("3440%61", 24),
        ("sum(map(int,str(3440)))", 11),
        ("int(str(3440)[::-1])", 443),
        ("int(str(3440)[2:])", 40),
        ("int(oct(64)[2:])", 100),
        ("abs(3-10)", 7),
        ("len(str(3440))", 4),
        ("-5%3", 1),
        ("5|8&12^3", 5 | 8 & 12 ^ 3),
    ],
)
def test_expressions_of_the_table_are_evaluated_as_python_does(expression: str, value: int) -> None:
    assert evaluate(expression, {}) == value


@pytest.mark.parametrize(
    "expression",
    [
        "a%61",  # an undefined name
        "5%0",
        "5+",
        "int(-5[::-1])",
        "int(str(-5)[::-1])",
        "99999*99999",  # too large
        "9**9",
        "__import__('os')",
        "().__class__",
        "open('x')",
        "sum(range(10))",
        "'1'*3",
        "str(5)",
        "[5]",
        "len(5)",
        "(lambda:5)()",
        "int(str(5,),base=3)",
        "(" * 500 + "1" + ")" * 500,
    ],
)
def test_failures_and_foreign_code_have_no_value(expression: str) -> None:
    assert evaluate(expression, {}) is None


def test_negative_operands_bind_as_in_running_code() -> None:
    assert evaluate("{x}%{n}", {"x": -57, "n": 61}) == 4
    assert evaluate("{n}-{x}", {"x": -57, "n": 61}) == 118


@pytest.mark.parametrize("world", [MiniatureWorld(), OpenWorld(None, "auto")])
def test_what_a_learner_sees_of_a_world_never_judges_an_answer(world) -> None:
    """Not even a true one: the learner's views hold no oracle to ask."""
    question = "Let a = 43 * 80. Find a."
    task = Task("t", (question,), "chain", Origin("test", PROPOSER, 0))
    true = answer(question)
    assert true == "3440"
    assert [world.check(task, given) for given in (true, "3441", "")] == [None, None, None]
