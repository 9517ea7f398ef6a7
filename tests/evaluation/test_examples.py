"""Worked examples of prompts against the problems that are measured."""

from __future__ import annotations

import pytest

from coevolve.errors import ConfigError
from coevolve.evaluation.examples import examples_of, held_against
from coevolve.methods.registry import load_config
from coevolve.suites.registry import find
from coevolve.types import PROPOSER, Origin, Task
from coevolve.worlds.base import Problem

SHOWN = {"solver.examples.0": "What is 58 plus 67?", "proposer.examples.1": "Divide 744 by 12. What is the quotient?"}


def problems(*questions: str) -> list[Problem]:
    origin = Origin("agent0", PROPOSER, 0)
    return [Problem(Task(f"q{n}", (text,), "x", origin), "1") for n, text in enumerate(questions)]


def test_an_example_that_is_measured_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        list(held_against(SHOWN, "exam", problems("Who is it?", "what is 58 plus 67"), "arithmetic"))
    assert "solver.examples.0 is a problem of exam" in str(error.value)
    assert error.value.where == "model.prompts=arithmetic"


def test_an_example_that_is_nearly_measured_is_told_and_one_of_the_same_kind_is_not() -> None:
    near, alike = "Divide 744 by 12. What is the quotient then?", "Divide 812 by 14. What is the quotient?"
    (told,) = held_against(SHOWN, "exam", problems(alike, near), "arithmetic")
    assert told == "exam: q1 is nearly the worked example proposer.examples.1 of arithmetic"
    assert list(held_against({}, "exam", problems(near), "agent0")) == []


@pytest.mark.parametrize("suite", ["sums", "word-problems"])
@pytest.mark.parametrize("prompts", ["arithmetic", "grade-school"])
def test_no_worked_example_of_the_package_is_among_its_own_problems(prompts: str, suite: str) -> None:
    shown = examples_of(load_config("smoke-hf", None, [f"model.prompts={prompts}"]).world_settings)
    assert len(shown) > 8
    for seed in (0, 1, 2):
        assert list(held_against(shown, suite, find(f"{suite}:200:{seed}").load().problems, prompts)) == []


def test_the_miniature_shows_no_examples() -> None:
    assert examples_of(load_config("nano").world_settings) == {}
