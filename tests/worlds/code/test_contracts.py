"""The prompts of the world of programs: in its own tokens, and in words."""

from __future__ import annotations

import pytest

from coevolve.config.acting import WorldSettings
from coevolve.errors import ConfigError
from coevolve.methods.registry import load_config
from coevolve.types import PROPOSER, SOLVER
from coevolve.worlds.base import PromptContext
from coevolve.worlds.code.contract import CodeContract
from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, INDUCTION, KINDS
from coevolve.worlds.code.words import WordsContract

IDENTITY = "def f(a):\n    return a"


def test_a_proposal_follows_on_examples_and_the_type() -> None:
    prompt = CodeContract().prompt(PROPOSER, PromptContext(examples=(f"{IDENTITY}\nf(3) == 3",), kind=ABDUCTION))
    assert prompt == f"<question>{IDENTITY}\nf(3) == 3</question>\nabduction<question>"
    assert CodeContract().prompt(PROPOSER) == "deduction<question>"


def test_in_words_each_type_has_an_instruction_of_its_own() -> None:
    contract = WordsContract("<s>")
    for agent in (PROPOSER, SOLVER):
        prompts = {contract.prompt(agent, PromptContext("f(1) == ?", (IDENTITY,), kind)) for kind in KINDS}
        assert len(prompts) == 3
        assert all(prompt.startswith("<s>") for prompt in prompts)
    for kind in (DEDUCTION, ABDUCTION, INDUCTION):
        assert contract.prompt(PROPOSER, PromptContext(examples=(IDENTITY,), kind=kind)).endswith("<task>\n")
        assert IDENTITY in contract.prompt(PROPOSER, PromptContext(examples=(IDENTITY,), kind=kind))


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("4 + 5 = 9. \\boxed{9}\n", True),
        ("\\boxed{def f(a):\n    return {a: 1}}\n", True),
        ("\\boxed{def f(a):\n    b = {a: 1}\n", False),  # a line ends with a brace within the box
        ("as a set: {1, 2}\n", False),
    ],
)
def test_in_words_an_answer_ends_with_the_line_of_its_box(text: str, ended: bool) -> None:
    assert WordsContract().finished(SOLVER, text) == (text if ended else None)


def test_the_prompts_in_words_need_a_model_and_no_others_are_known() -> None:
    for overrides, why in ((["model.prompts=plain"], "set model.path"), (["model.prompts=school"], "of its own")):
        with pytest.raises(ConfigError, match=why):
            load_config("absolute-zero", None, overrides)
    config = load_config("absolute-zero-qwen3-4b-paper")
    assert isinstance(config.world_settings, WorldSettings)
    assert hash(config.world_settings)
