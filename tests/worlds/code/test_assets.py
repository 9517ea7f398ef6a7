"""The shipped base model of the world of programs: it knows the formats, solves some, and can be built again."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from coevolve.grading.extract import last_boxed
from coevolve.types import PROPOSER, SOLVER
from coevolve.worlds.base import PromptContext
from coevolve.worlds.code.build import build_world
from coevolve.worlds.code.contract import CLOSE, CodeContract
from coevolve.worlds.code.corpus import Mixture, documents
from coevolve.worlds.code.items import DEDUCTION
from coevolve.worlds.code.language import canonical_literal
from coevolve.worlds.code.learner import ASSETS, CodeWorld
from coevolve.worlds.code.meter import held_out
from coevolve.worlds.code.vocabulary import TOKENS
from coevolve.worlds.miniature.calibration import sample


@pytest.fixture(scope="module")
def model() -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    torch.set_num_threads(1)
    return Qwen3ForCausalLM.from_pretrained(ASSETS), PreTrainedTokenizerFast.from_pretrained(ASSETS)


def test_the_shipped_folder_is_small_and_has_the_tokens_of_the_textbook(
    model: tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast],
) -> None:
    assert CodeWorld().base_model() == ASSETS
    assert sum(file.stat().st_size for file in ASSETS.iterdir()) < 2.6e6
    assert model[0].config.vocab_size == len(TOKENS) == len(model[1])
    for document in islice(documents(Mixture(), "c"), 100):
        assert model[1].decode(model[1].encode(document.text)) == document.text


def test_the_base_model_proposes_tasks_and_answers_in_the_required_form(
    model: tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast],
) -> None:
    contract, world = CodeContract(), CodeWorld()
    context = PromptContext(examples=("def f(a):\n    return a\nf(3) == 3",), kind=DEDUCTION)
    written = [text for text, _ in sample(*model, [contract.prompt(PROPOSER, context)] * 64, seed=0, stop=CLOSE)]
    read = 0
    for text in written:
        try:
            world.proposal(DEDUCTION, "", text)
        except ValueError:
            continue
        read += 1
    assert read > 32

    tasks = held_out(DEDUCTION, 64, seed=1)
    prompts = [contract.prompt(SOLVER, PromptContext(task.question, kind=DEDUCTION)) for task in tasks]
    answers = [last_boxed(text) for text, _ in sample(*model, prompts, seed=0)]
    assert sum(canonical_literal(answer or "") is not None for answer in answers) > 48
    right = sum(answer == task.outputs[0] for answer, task in zip(answers, tasks, strict=True))
    assert 1 <= right < 40


def test_a_model_is_built_that_goes_on_from_the_miniatures(tmp_path: Path) -> None:
    build_world(tmp_path, seed=3, tokens=4000)
    built = Qwen3ForCausalLM.from_pretrained(tmp_path)
    assert built.config.vocab_size == len(TOKENS)
    assert "--tokens 4000 --out DIR --seed 3" in (tmp_path / "README.md").read_text()
