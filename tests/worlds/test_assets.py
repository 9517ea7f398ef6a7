"""The shipped folder: any tool that reads Hugging Face folders must be able to use it."""

from __future__ import annotations

import json
import re
import tomllib
from glob import glob
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen3ForCausalLM

import coevolve
from coevolve.errors import ModelError
from coevolve.methods.registry import load_config
from coevolve.types import SOLVER
from coevolve.worlds.base import PromptContext
from coevolve.worlds.miniature import learner
from coevolve.worlds.miniature.calibration import recalls_in, sample
from coevolve.worlds.miniature.learner import ASSETS, BASES, MiniatureWorld
from coevolve.worlds.miniature.meter import held_out, held_out_dialogues
from coevolve.worlds.miniature.vocabulary import TOKENS, save_tokenizer
from coevolve.worlds.registry import open_world

FOLDERS = (ASSETS, *BASES.values())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_folder_is_small_and_complete(folder: Path) -> None:
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert {"tokenizer_config.json", "README.md"} <= set(files)
    assert sum(files.values()) <= 8 * 1024 * 1024


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_folder_is_in_the_wheel(folder: Path) -> None:
    package = Path(coevolve.__file__).parent
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["coevolve"]
    packed = {package / name for pattern in patterns for name in glob(pattern, root_dir=package, recursive=True)}
    assert set(folder.iterdir()) <= packed


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_folder_is_a_plain_qwen3_without_custom_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert "auto_map" not in config
    assert config["vocab_size"] == len(TOKENS)
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_the_automatic_classes_load_it_and_it_can_speak() -> None:
    model = AutoModelForCausalLM.from_pretrained(MiniatureWorld().base_model())
    tokenizer = AutoTokenizer.from_pretrained(MiniatureWorld().base_model())
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert model.dtype == torch.float32
    assert 0.5e6 < model.num_parameters() < 0.7e6
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    prompt = tokenizer("<question>Let a = 43 * 80. Find a.</question>\n", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        text = tokenizer.decode(model.generate(prompt, max_new_tokens=100, do_sample=False)[0, prompt.shape[1] :])
    assert text.startswith(("a = ", "a:\n```python\n"))
    assert "\\boxed{" in text


def test_the_shipped_tokenizer_is_the_one_of_the_vocabulary(tmp_path) -> None:
    save_tokenizer(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        made = json.loads((tmp_path / name).read_text())
        assert all(made == json.loads((folder / name).read_text()) for folder in FOLDERS)


def test_a_missing_model_is_named_with_its_remedy(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "ASSETS", tmp_path)
    with pytest.raises(ModelError, match=r"model\.safetensors") as caught:
        MiniatureWorld().base_model()
    assert "coevolve world build" in caught.value.fix


def test_a_base_model_is_reached_by_its_name_and_a_missing_one_is_named() -> None:
    for name, folder in BASES.items():
        assert open_world(load_config(overrides=[f"model.path={name}"]).world_settings).base_model() == folder
    assert open_world(load_config().world_settings).base_model() == ASSETS


def test_the_preset_for_dialogues_is_mini_with_turns_and_the_base_model_that_has_read_some() -> None:
    config, mini = load_config("dialogues"), load_config("mini")
    assert open_world(config.world_settings).base_model() == BASES["miniature-dialogues"]
    assert (config.dialogue.turns, config.evaluation.dialogues, config.sampling.max_tokens) == (4, 40, 320)
    ours = {key: getattr(mini, key) for key in ("preset", "model", "dialogue")}
    sections = {
        "sampling": config.sampling.model_copy(update={"max_tokens": mini.sampling.max_tokens}),
        "evaluation": config.evaluation.model_copy(update={"dialogues": mini.evaluation.dialogues}),
    }
    assert config.model_copy(update=ours | sections) == mini


def test_the_base_model_that_has_read_dialogues_goes_on_from_the_answer_before() -> None:
    """Its sampled answers to a second turn define the asked name; the first base model begins again at ``a``."""
    asked = held_out_dialogues(2, 30, 0)
    prompts = [
        MiniatureWorld().contract.prompt(SOLVER, PromptContext(task.turns[0])) for task in asked for _ in range(4)
    ]
    further = [task.turns[1:] for task in asked for _ in range(4)]
    begun, recalled = {}, {}
    for folder in (ASSETS, BASES["miniature-dialogues"]):
        model, tokenizer = Qwen3ForCausalLM.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)
        texts = [text for text, _ in sample(model, tokenizer, prompts, seed=0, follow_ups=further, max_tokens=320)]
        second = [text.partition("</question>\n")[2] for text in texts if "</question>\n" in text]
        begun[folder] = sum(answer.startswith(("b = ", "b:\n")) for answer in second) / len(prompts)
        found = [right for text in texts for right in recalls_in(text)]
        recalled[folder] = sum(found) / max(1, len(found))
        boxed = sum(re.search(r"\\boxed\{-?\d+\}$", answer) is not None for answer in second) / len(prompts)
        assert boxed > 0.9
    assert begun[ASSETS] < 0.1
    assert begun[BASES["miniature-dialogues"]] > 0.9
    assert recalled[ASSETS] < 0.2
    assert 0.35 < recalled[BASES["miniature-dialogues"]] < 0.75


def test_the_early_base_model_has_read_less_and_copies_long_numbers_inexactly() -> None:
    """Whether the first code of an answer to one step holds the numbers of the question, some long."""
    asked = [task for task in held_out(1, 60, 0) if re.search(r"\d{3}", task.question)]
    prompts = [
        MiniatureWorld().contract.prompt(SOLVER, PromptContext(task.turns[0])) for task in asked for _ in range(4)
    ]
    numbers = [set(re.findall(r"\d+", task.question)) for task in asked for _ in range(4)]
    copied = {}
    for folder in (ASSETS, BASES["miniature-early"]):
        model, tokenizer = Qwen3ForCausalLM.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)
        pairs = zip([text for text, _ in sample(model, tokenizer, prompts, seed=0)], numbers, strict=True)
        codes = [(re.findall(r"```python\n(.*?)```", text, re.DOTALL), given) for text, given in pairs]
        exact = [given <= set(re.findall(r"\d+", code[0])) for code, given in codes if code]
        copied[folder] = sum(exact) / len(exact)
    assert copied[ASSETS] > copied[BASES["miniature-early"]] + 0.1


def test_the_learner_describes_questions_by_grammar_only() -> None:
    world = MiniatureWorld()
    question = "Let a = 43 * 80. Let b = a mod 61. Find b."
    assert world.describe(question) == {"steps": 2, "topic": "remainder"}
    assert world.describe("Let a = . Find a.") == {"steps": 0, "topic": "malformed"}
