"""Questions: what is well formed, what is not, and what the parser sees in them."""

from __future__ import annotations

import random
from itertools import islice, pairwise

import pytest

from coevolve.worlds.miniature.corpus import damage
from coevolve.worlds.miniature.generator import questions
from coevolve.worlds.miniature.grammar import (
    MAX_DIGITS,
    digit_bound,
    is_well_formed,
    operations_used,
    parse,
    questions_so_far,
    user_turns,
)
from coevolve.worlds.miniature.operations import BY_NAME, OPERATIONS


def test_a_question_is_parsed_into_its_steps() -> None:
    steps = parse("Let a = 43 * 80. Let b = the remainder of a divided by 61. Let c = the digit sum of b. Find c.")
    assert steps is not None
    assert [(s.name, s.operation.name, s.x, s.n) for s in steps] == [
        ("a", "product", 43, 80),
        ("b", "remainder", "a", 61),
        ("c", "digit sum", "b", None),
    ]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_wording_of_every_operation_is_understood(operation) -> None:
    for phrase in (*operation.phrases, operation.paraphrase):
        question = f"Let a = {phrase.format(x=345, n=78)}. Find a."
        assert operations_used(question) == (operation.name,)


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Find a.",
        "Let a = 5. Find a.",  # no operation
        "Let a = 43 * . Find a.",  # an operand is missing
        "Let a = 43 * 80. Find b.",  # asks for an unknown name
        "Let a = 43 * 80.",  # asks for nothing
        "Let a = 43 * 80. Find a",  # no full stop
        "Let a = 43 * 80. Let b = c + 12. Find b.",  # c is unknown
        "Let a = 43 * 80. Let b = b + 12. Find b.",  # b is not known yet
        "Let a = 43 * 80. Let a = a + 12. Find a.",  # a is defined twice
        "Let a = 43 * 80. Let b = 12 + 13. Find b.",  # the first step is idle
        "Let a = 43 * 80. Let b = a + 12. Find a.",  # the last step is idle
        "Let a = 43 * 80. Let b = the xor of a and a. Find b.",  # always 0
        "Let a = 43 * 80. Let b = a mod 5. Find b.",  # few possible answers
        "Let a = 43 mod 0. Find a.",
        "Let a = 43 * 007. Find a.",  # no number in Python
        "Let a = 43 * 80. Let b = 99 mod a. Find b.",  # a might be 0
        "Let a = 12345 + 12. Find a.",  # a literal too long
        "Let a = 9000 * 900. Let b = the square of a. Find b.",  # outgrows the tool's output
        "Let a = 43 * 80. Find a. Find a.",
        "Let a = 43 * 80.  Find a.",
        "Let i = 43 * 80. Find i.",
    ],
)
def test_damaged_or_degenerate_questions_are_malformed(question: str) -> None:
    assert not is_well_formed(question)
    assert operations_used(question) == ()


def test_a_chain_has_at_most_eight_steps() -> None:
    names = "abcdefgh"
    lets = ["Let a = 43 mod 20"] + [f"Let {y} = {x} mod 20" for x, y in pairwise(names)]
    assert len(operations_used(". ".join(lets) + ". Find h.")) == 8
    assert not is_well_formed(". ".join([*lets, "Let i = h mod 20"]) + ". Find i.")


@pytest.mark.parametrize("steps", range(1, 7))
def test_generated_questions_are_well_formed_and_have_the_asked_number_of_steps(steps: int) -> None:
    source = questions(random.Random(steps), steps, reserved=False, paraphrased=0.2)
    for chain in islice(source, 200):
        assert parse(chain.text) == chain.steps
        assert len(operations_used(chain.text)) == steps


def test_damage_always_makes_a_question_malformed() -> None:
    rng = random.Random(0)
    for chain in islice(questions(rng, 2, reserved=False), 300):
        assert not is_well_formed(damage(rng, chain))


@pytest.mark.parametrize(
    ("name", "compute"),
    [
        ("product", lambda x, n: x * n),
        ("sum", lambda x, n: x + n),
        ("difference", lambda x, n: abs(x - n)),
        ("digit sum", lambda x, n: sum(map(int, str(x)))),
        ("reverse", lambda x, n: int(str(x)[::-1])),
        ("square", lambda x, n: x * x),
        ("xor", lambda x, n: x ^ n),
        ("octal", lambda x, n: int(oct(x)[2:])),
    ],
)
def test_no_result_has_more_digits_than_its_bound(name: str, compute) -> None:
    operation, rng = BY_NAME[name], random.Random(name)
    for _ in range(2000):
        x, n = (rng.randrange(10 ** rng.randint(1, MAX_DIGITS)) for _ in range(2))
        second = len(str(n)) if operation.binary else 0
        assert len(str(compute(x, n))) <= digit_bound(operation, len(str(x)), second)


CHAIN = "Let a = 43 * 80. Let b = the digit sum of a. Let c = b + 7. Find c."


@pytest.mark.parametrize(
    ("most", "turns"),
    [
        (1, [CHAIN]),
        (2, ["Let a = 43 * 80. Let b = the digit sum of a. Find b.", "Let c = b + 7. Find c."]),
        (3, ["Let a = 43 * 80. Find a.", "Let b = the digit sum of a. Find b.", "Let c = b + 7. Find c."]),
        (9, ["Let a = 43 * 80. Find a.", "Let b = the digit sum of a. Find b.", "Let c = b + 7. Find c."]),
    ],
)
def test_a_chain_is_a_dialogue_whose_follow_ups_have_one_step_each(most: int, turns: list[str]) -> None:
    assert list(user_turns(CHAIN, most)) == turns
    assert questions_so_far(CHAIN, len(turns))[-1] == CHAIN
    assert all(map(is_well_formed, questions_so_far(CHAIN, len(turns))))


def test_what_is_one_step_or_no_chain_is_one_turn() -> None:
    for text in ("Let a = 43 * 80. Find a.", "nonsense", ""):
        assert user_turns(text, 4) == (text,)
