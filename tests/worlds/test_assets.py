"""The shipped folder: any tool that reads Hugging Face folders must be able to use it."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from coevolve.errors import ModelError
from coevolve.worlds.miniature import learner
from coevolve.worlds.miniature.learner import ASSETS, MiniatureWorld
from coevolve.worlds.miniature.vocabulary import TOKENS, save_tokenizer


def test_the_folder_is_small_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in ASSETS.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert {"tokenizer_config.json", "README.md"} <= set(files)
    assert sum(files.values()) <= 8 * 1024 * 1024


def test_the_folder_is_a_plain_qwen3_without_custom_code() -> None:
    config = json.loads((ASSETS / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert "auto_map" not in config
    assert config["vocab_size"] == len(TOKENS)
    assert json.loads((ASSETS / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


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
        assert json.loads((tmp_path / name).read_text()) == json.loads((ASSETS / name).read_text())


def test_a_missing_model_is_named_with_its_remedy(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "ASSETS", tmp_path)
    with pytest.raises(ModelError, match=r"model\.safetensors") as caught:
        MiniatureWorld().base_model()
    assert "coevolve world build" in caught.value.fix


def test_the_learner_describes_questions_by_grammar_only() -> None:
    world = MiniatureWorld()
    question = "Let a = 43 * 80. Let b = a mod 61. Find b."
    assert world.describe(question) == {"steps": 2, "topic": "remainder"}
    assert world.describe("Let a = . Find a.") == {"steps": 0, "topic": "malformed"}
