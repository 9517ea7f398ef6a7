"""The textbook and the held-out tasks: kept apart, and true where they say so, with the sandbox as the oracle."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from coevolve.config import SandboxSection
from coevolve.grading.extract import last_boxed
from coevolve.worlds.code.corpus import RIGHT, Mixture, documents
from coevolve.worlds.code.generator import examples
from coevolve.worlds.code.items import DEDUCTION, INDUCTION, KINDS, is_reserved
from coevolve.worlds.code.judging import Work, judge, validated
from coevolve.worlds.code.language import canonical_program
from coevolve.worlds.code.learner import CodeWorld
from coevolve.worlds.code.meter import held_out
from coevolve.worlds.code.operations import OPERATIONS
from coevolve.worlds.code.running import Runner
from coevolve.worlds.code.vocabulary import TOKENS
from coevolve.worlds.miniature.vocabulary import TOKENS as FIRST


def test_programs_are_written_in_their_canonical_spelling() -> None:
    for one in islice(examples(random.Random(1), reserved=False), 200):
        assert canonical_program(one.chain.text) == one.chain.text


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_tasks_are_different_reserved_and_true(kind: str) -> None:
    tasks = held_out(kind, 30, seed=3)
    assert len({one.proposal.key for one in tasks}) == 30
    assert all(is_reserved(one.proposal.program) for one in tasks)
    assert held_out(kind, 30, seed=3) == tasks
    runner = Runner(SandboxSection())
    assert validated(runner, [one.proposal for one in tasks]) == tasks
    right = [
        one.outputs[0] if kind == DEDUCTION else one.proposal.program if kind == INDUCTION else one.proposal.inputs[0]
        for one in tasks
    ]
    works = [Work(one.proposal, one.outputs, answer) for one, answer in zip(tasks, right, strict=True)]
    assert {str(one) for one in judge(runner, works)} == {"right"}
    runner.close()


def test_no_document_of_the_textbook_has_a_reserved_program() -> None:
    world = CodeWorld()
    programs = set()
    for document in islice(documents(Mixture(), "a"), 1500):
        for part in document.text.split("<question>")[1:]:
            text = part.partition("</question>")[0]
            program = text.partition("\nf(")[0] if text.startswith("def f(") else ""
            programs |= {program} if program else set()
    assert len(programs) > 300
    whole = {program for program in programs if world.is_well_formed(f"{program}\nf(1)")}
    assert len(whole) > 0.8 * len(programs)
    assert not [program for program in whole if is_reserved(program) and "d" not in program.partition("return ")[2]]


def test_answers_of_the_first_part_of_the_textbook_are_right_and_of_the_rest_mostly_not() -> None:
    runner = Runner(SandboxSection())
    shares = {}
    for name, mixture in (("right", RIGHT), ("mixed", Mixture())):
        found = []
        for document in islice(documents(mixture, "b"), 400):
            question, _, answer = document.text.partition("</question>\n")
            if not question.endswith("== ?") or "<question>" in answer:
                continue
            text = question.removeprefix("<question>").removesuffix(" == ?")
            proposal = CodeWorld().proposal(DEDUCTION, "", text)
            (triplet,) = validated(runner, [proposal])
            assert triplet is not None
            found.append(last_boxed(answer) == triplet.outputs[0])
        assert len(found) > 60
        shares[name] = sum(found) / len(found)
    assert shares["right"] == 1.0
    assert 0.25 < shares["mixed"] < 0.6
    runner.close()


def test_the_vocabulary_begins_with_that_of_the_miniature_and_names_no_token_twice() -> None:
    assert TOKENS[: len(FIRST)] == FIRST
    assert len(set(TOKENS)) == len(TOKENS)
    assert {operation.word for operation in OPERATIONS} <= set(TOKENS)
