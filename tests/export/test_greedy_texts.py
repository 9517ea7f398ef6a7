"""An exported agent writes in transformers what it writes in its run: merged, and as an adapter on its base model.

`COEVOLVE_RUN=DIR make test-slow` holds a run of one's own against its exports, at more length; in float32, since
merging rounds to the type of the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_run import GIVEN, QUESTIONS, TIE, by_the_run, gaps, generated, tiny_run
from huggingface_hub import ModelCard
from peft import PeftModel
from tiny_gguf import random_model, write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from coevolve.engine import gguf, hub
from coevolve.engine.base import ADAPTER_CONFIG
from coevolve.engine.hub import Packaged, fetch_model
from coevolve.engine.local.models import quiet
from coevolve.export.folders import export
from coevolve.store.records import RunRecords


def loaded(path: Path) -> Any:
    with quiet():
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


def hold_against_the_run(run: Path, to: Path, most: int, questions: Sequence[str]) -> None:
    prompts, ours = by_the_run(run, most, questions)
    assert all(ours)
    base = loaded(fetch_model(str(RunRecords.open(run).config.model.path)))
    merged = export(run, to / "merged", ["models"], merge=True).folders["solver"]
    adapter = export(run, to / "adapter", ["models"]).folders["solver"]
    for model in (loaded(merged), PeftModel.from_pretrained(base, str(adapter))):
        apart = gaps(model, prompts, ours, generated(model, prompts, most))
        assert all(gap < TIE for gap in apart), apart


def test_a_run_on_a_packaged_model_is_exported_whole_and_as_an_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = write_gguf(tmp_path / "tiny.gguf", random_model("llama", max_position_embeddings=2048))
    origin = {"license": "apache-2.0", "base_model": "someone/tiny"}
    known = Packaged("tiny-model", "tiny_model", file.name, gguf.digest_of(file), origin)
    monkeypatch.setattr(hub, "PACKAGED", {"tiny-1m": known})
    monkeypatch.setattr(Packaged, "found", lambda model: file)
    hold_against_the_run(tiny_run(tmp_path, path="tiny-1m"), tmp_path, 16, QUESTIONS[:2])
    adapter, merged = tmp_path / "adapter" / "solver", tmp_path / "merged" / "solver"
    assert json.loads((adapter / ADAPTER_CONFIG).read_text())["base_model_name_or_path"] == "tiny-1m"
    card = ModelCard.load(adapter / "README.md")
    assert (card.data.base_model, card.data.license) == ("someone/tiny", "apache-2.0")
    assert "base = AutoModelForCausalLM.from_pretrained(fetch_model('tiny-1m'))" in card.text
    assert "quantization_config" not in json.loads((merged / "config.json").read_text())
    base = AutoTokenizer.from_pretrained(fetch_model("tiny-1m"))
    for folder in (adapter, merged):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer.chat_template == base.chat_template
        assert tokenizer.get_vocab() == base.get_vocab()


def test_the_card_names_a_gguf_file_without_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    adapter = export(tiny_run(tmp_path), tmp_path / "out", ["models"]).folders["solver"]
    assert json.loads((adapter / ADAPTER_CONFIG).read_text())["base_model_name_or_path"] == "tiny.gguf"
    card = (adapter / "README.md").read_text()
    assert "from_pretrained(fetch_model('tiny.gguf'))" in card
    assert str(tmp_path) not in card
    (tmp_path / "tiny.gguf").unlink()


@pytest.mark.slow
def test_a_given_run_is_exported_whole_and_as_an_adapter(tmp_path: Path) -> None:
    run = Path(GIVEN) if GIVEN else tiny_run(tmp_path)
    hold_against_the_run(run, tmp_path, 128, QUESTIONS)
