"""Exported agents of a run with LoRA: adapters that peft reads, and whole models that need nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from coevolve.config import LoraSection
from coevolve.engine.base import ADAPTER_CONFIG, ADAPTER_FILE
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.errors import ConfigError
from coevolve.export.folders import export
from coevolve.methods.config import CoevolutionConfig
from coevolve.runs.ask import solve
from coevolve.worlds.miniature.learner import ASSETS

LORA = LoraSection(enabled=True, rank=2)


def write_adapter(path: Path) -> None:
    """An adapter that was trained a little, as far as anybody can tell."""
    trainer = LocalTrainer(ASSETS, lora=LORA)
    noise = np.random.default_rng(0)
    moved = {
        n: w + noise.normal(0, 0.03, w.shape).astype(np.float32)
        for n, w in trainer.snapshot("p", 0).source.weights.items()
    }
    trainer._trained.load({n: torch.from_numpy(w) for n, w in moved.items()})
    path.mkdir(parents=True, exist_ok=True)
    trainer.save(path, optimizer=True)


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    return make_run(
        "lora", "curriculum", "executor", config=CoevolutionConfig(iterations=2, lora=LORA), write=write_adapter
    )


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 40)[None]).logits


def test_an_adapter_is_exported_without_a_folder_of_this_machine(run: Path, tmp_path: Path) -> None:
    done = export(run, tmp_path / "out", ["models"])
    for role in ("solver", "proposer"):
        folder = done.folders[role]
        names = {file.name for file in folder.iterdir()}
        assert names == {ADAPTER_CONFIG, ADAPTER_FILE, "README.md", "tokenizer.json", "tokenizer_config.json"}
        assert json.loads((folder / ADAPTER_CONFIG).read_text())["base_model_name_or_path"] is None
        assert str(ASSETS) not in (folder / "README.md").read_text()
        card = ModelCard.load(folder / "README.md")
        assert card.data.library_name == "peft"


def test_the_example_on_the_card_writes_what_the_runs_executor_writes(run: Path, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "out", ["models"]).folders["solver"]
    found = re.search(r"```+python\n(.*?)\n```", (folder / "README.md").read_text(), re.DOTALL)
    assert found
    code = found[1].replace("BASE-FOLDER", str(ASSETS)).replace("FOLDER-OR-NAME", str(folder))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    question = re.search(r"<question>(.*?)</question>", code)
    assert question
    expected = solve(run, question[1]).text.partition("```output")
    assert printed.getvalue().removesuffix("\n").removesuffix("<|endoftext|>") == expected[0] + expected[1]


def test_a_merged_model_has_the_logits_of_base_and_adapter(run: Path, tmp_path: Path) -> None:
    merged = export(run, tmp_path / "merged", ["models"], merge=True).folders["solver"]
    names = {file.name for file in merged.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= names
    assert not names & {ADAPTER_CONFIG, ADAPTER_FILE, "optimizer.pt"}
    base = logits(AutoModelForCausalLM.from_pretrained(str(ASSETS)))
    found = logits(AutoModelForCausalLM.from_pretrained(str(merged)))
    from peft import PeftModel

    adapter = run / "checkpoints/iteration-1/solver"
    on = logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(str(ASSETS)), str(adapter)))
    assert float((on - base).abs().max()) > 0.05
    torch.testing.assert_close(found, on, rtol=1e-5, atol=1e-4)
    whole = LocalTrainer(merged)  # a run can begin with it
    assert whole.snapshot("p", 0).source.weights.keys() == LocalTrainer(ASSETS).snapshot("p", 0).source.weights.keys()
    assert ModelCard.load(merged / "README.md").data.library_name == "transformers"


def test_there_must_be_something_to_merge(run: Path, tmp_path: Path, make_run: Callable[..., Path]) -> None:
    whole = make_run("whole", "curriculum", "executor")
    for path, what, words in ((whole, ["models"], "whole models"), (run, ["dataset"], "no agents")):
        with pytest.raises(ConfigError, match=words) as caught:
            export(path, tmp_path / "out", what, merge=True)
        assert caught.value.where == "--merge"
    assert not (tmp_path / "out").exists()
