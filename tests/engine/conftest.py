"""A tiny random Qwen3 in a Hugging Face folder, as a base model for the engine's tests."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from coevolve.engine.local.runtime import use_threads

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789 .\n"


def _write_tokenizer(folder: Path) -> int:
    tokenizer = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(ALPHABET)}, unk_token="\n"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return tokenizer.get_vocab_size()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Models this small are computed faster on one: several threads wait for each other more than they work."""
    use_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, grouped queries, untied head, weights large enough for uneven distributions."""
    return _write_model(tmp_path_factory.mktemp("tiny"), tied=False)


@pytest.fixture(scope="session")
def tied_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one matrix for embedding and head."""
    return _write_model(tmp_path_factory.mktemp("tied"), tied=True)


def _write_model(folder: Path, *, tied: bool) -> Path:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    vocabulary = _write_tokenizer(folder)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(str(folder))
    return folder
