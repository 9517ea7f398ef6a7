"""Model folders: every fault is named with its place and its remedy, nothing is printed."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from coevolve.engine.local.models import (
    check_base_model,
    check_safetensors,
    load_model,
    load_tokenizer,
    quiet,
)
from coevolve.errors import ModelError


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def test_sound_folder_passes_and_loads(folder: Path) -> None:
    check_base_model(folder, required_text="let a be 43.\n")
    model = load_model(folder, dtype="float64")
    assert not model.training
    assert model.dtype == torch.float64
    tokenizer = load_tokenizer(folder)
    assert tokenizer.decode(tokenizer.encode("find c.")) == "find c."


def test_loading_prints_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(folder)
    load_tokenizer(folder)
    assert capfd.readouterr() == ("", "")


def test_quiet_restores_the_settings_of_transformers() -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with quiet():
        assert logging.get_verbosity() == logging.ERROR
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_missing_folder_is_never_looked_up_elsewhere(tmp_path: Path) -> None:
    for function in (load_model, load_tokenizer, check_base_model):
        with pytest.raises(ModelError) as error:
            function(tmp_path / "Qwen" / "Qwen3-4B")
        assert "Qwen3-4B" in error.value.where


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing") as error:
        check_base_model(folder)
    assert error.value.where == str(folder)
    assert error.value.fix


@pytest.mark.parametrize("keep", [0, 5, 8, 200, -1])
def test_truncated_weights_are_refused_before_loading(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_broken_json_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text('{"vocab')
    with pytest.raises(ModelError, match=f"{name} is damaged"):
        check_base_model(folder)


def test_json_that_is_no_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="no tokenizer"):
        load_tokenizer(folder)


def test_other_bytes_are_no_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes((20).to_bytes(8, "little") + b"x" * 40)
    with pytest.raises(ModelError, match="header cannot be read"):
        check_safetensors(file)


def test_every_shard_of_a_split_model_is_checked(folder: Path) -> None:
    shutil.move(folder / "model.safetensors", folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors is missing"):
        check_base_model(folder)


def test_tokenizer_larger_than_the_model_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 10}))
    with pytest.raises(ModelError, match="vocab_size is 10"):
        check_base_model(folder)


def test_weights_of_another_size_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for changed in ({"vocab_size": 60}, {"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3}):
        (folder / "config.json").write_text(json.dumps(config | changed))
        with pytest.raises(ModelError):
            load_model(folder)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, "BertForMaskedLM is no causal language model"),
        ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "no causal language model"),
        ({"model_type": "their_own", "auto_map": {"AutoModelForCausalLM": "modeling.Their"}}, "is never run here"),
    ],
)
def test_models_of_other_kinds_are_refused_by_name(folder: Path, changed: dict[str, object], what: str) -> None:
    (folder / "modeling.py").write_text("raise SystemExit('their code was run')")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    for function in (check_base_model, load_model):
        with pytest.raises(ModelError, match=what) as error:
            function(folder)
        assert error.value.fix


def test_text_the_tokenizer_cannot_keep_is_shown(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"'\$12' becomes"):
        check_base_model(folder, required_text="pay $12")


def test_tokenizer_that_transformers_would_rebuild_is_refused(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match="PreTrainedTokenizerFast"):
        load_tokenizer(folder)
