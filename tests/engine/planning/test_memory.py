"""Plans of memory against the bytes of tensors that are really alive, on small random models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models

from coevolve.config import LoraSection
from coevolve.engine.base import SampleRequest, Sampling
from coevolve.engine.hub import FAMILIES
from coevolve.engine.local import trainer as local_trainer
from coevolve.engine.local.decoding import StaticCache
from coevolve.engine.local.drawing import draw
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.planning import memory
from coevolve.engine.planning.memory import Precision, TrainedPart
from coevolve.engine.planning.shapes import ModelShape
from coevolve.types import Batch, TrainRow

from .live_bytes import LiveBytes, tensor_bytes

VOCABULARY, TOKENS = 500, 240
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


def shape(kind: str) -> ModelShape:
    return ModelShape.from_config({"model_type": kind, **SIZES})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random model of each family, with a tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    out = {}
    for kind in ("qwen3", "llama"):
        out[kind] = tmp_path_factory.mktemp(kind)
        config = AutoConfig.for_model(kind, **SIZES, tie_word_embeddings=False, eos_token_id=None, bos_token_id=None)
        AutoModelForCausalLM.from_config(config).save_pretrained(out[kind])
        tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
        tokenizer.save(str(out[kind] / "tokenizer.json"))
        (out[kind] / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return out


def batch() -> Batch:
    """One row that teaches from its eighth token on."""
    ones = np.ones(TOKENS + 1, np.float32)
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, TOKENS + 1).astype(np.int32)
    weight = np.where(np.arange(TOKENS + 1) >= 8, 1 / TOKENS, 0).astype(np.float32)
    return Batch((TrainRow(tokens, -6 * ones, ones, 0.2 * ones, 0.2 * ones, weight, -6 * ones),))


def held(trainer: LocalTrainer) -> dict[str, list[torch.Tensor]]:
    """What a trainer holds between two batches."""
    parameters = list(trainer.model.parameters())
    moments = [m for s in trainer._optimizer.state.values() for n, m in s.items() if n != "step"]
    return {
        "weights": parameters,
        "gradients": [p.grad for p in parameters if p.grad is not None],
        "moments": moments,
    }


CASES = {
    "whole": ("qwen3", "float32", None, False, Precision(4, 4)),
    "whole, bfloat16": ("llama", "bfloat16", None, False, Precision(4, 2)),
    "whole, bfloat16, checkpoints": ("qwen3", "bfloat16", None, True, Precision(4, 2)),
    "adapter": ("llama", "float32", "all", False, Precision(4, 4)),
    "adapter, bfloat16": ("qwen3", "bfloat16", "all", False, Precision(2, 2)),
    "adapter, bfloat16, checkpoints": ("qwen3", "bfloat16", "all", True, Precision(2, 2)),
    "two targets, checkpoints": ("llama", "float32", "two", True, Precision(4, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_training_takes_what_is_planned(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    kind, dtype, adapter, checkpointing, precision = CASES[case]
    targets = {"all": LoraSection().targets, "two": ["q_proj", "v_proj"]}
    lora = LoraSection(enabled=True, rank=8, targets=targets[adapter]) if adapter else None
    trained = TrainedPart(8, tuple(targets[adapter])) if adapter else TrainedPart()
    trainer = LocalTrainer(folders[kind], dtype=dtype, lora=lora, checkpointing=checkpointing)
    trainer.forward_backward(batch())
    trainer.step(1e-3)
    trainer.forward_backward(batch())
    there = held(trainer)
    numbers = memory.trained_numbers(shape(kind), trained)
    adapters = numbers * 4 if adapter else 0
    assert tensor_bytes(there["weights"]) == shape(kind).parameters * precision.weights + adapters
    assert tensor_bytes(there["gradients"]) == numbers * 4
    assert tensor_bytes(there["moments"]) == memory.optimizer_bytes(numbers, 4, eight_bit=False)
    for chunk in (1 << 25, 16 * VOCABULARY):  # logits that are the most, and that are little
        monkeypatch.setattr(local_trainer, "LOGITS", chunk)
        with LiveBytes([t for tensors in there.values() for t in tensors]) as live:
            trainer.forward_backward(batch())
        options: dict[str, Any] = {"checkpointing": checkpointing}
        planned = memory.activation_bytes(shape(kind), TOKENS, precision, trained, **options)
        planned += memory.passing_bytes(shape(kind), TOKENS, precision, trained, **options, logits=chunk)
        assert planned == pytest.approx(live.peak, rel=0.1)


@pytest.mark.parametrize("static", [False, True])
def test_a_cache_takes_what_is_planned(folders: dict[str, Path], static: bool) -> None:
    sampler = LocalSampler(folders["qwen3"], max_rows=8, static=static)
    rng = np.random.default_rng(0)
    for i in range(8):
        prompt = rng.integers(0, VOCABULARY, 40).astype(np.int32)
        sampler.submit(SampleRequest(i, prompt, Sampling(max_tokens=215), seed=i))
    if static:
        sampler.step()
    while not static and sampler.active:
        sampler.step()
    if isinstance(sampler._cache, StaticCache):
        rooms = [*sampler._cache.keys, *sampler._cache.values]
        assert tensor_bytes(rooms) == memory.static_cache_bytes(shape("qwen3"), 8, 255, 4)
    else:
        planned = memory.growing_cache_bytes(shape("qwen3"), 8, 40, 255, 4)
        assert tensor_bytes(sampler._cache.layers) == planned


def test_drawing_and_known_tokens_take_what_is_planned(folders: dict[str, Path]) -> None:
    logits = torch.randn(50, 30000)
    with LiveBytes([logits]) as live:
        draw(logits, np.random.default_rng(0).random(50), Sampling())
    wide = replace(shape("qwen3"), vocab=30000)
    assert memory.drawing_bytes(wide, 50, 4) == pytest.approx(live.peak + tensor_bytes([logits]), rel=0.1)
    sampler = LocalSampler(folders["qwen3"], static=True)
    for i in range(4):
        prompt = np.random.default_rng(i).integers(0, VOCABULARY, 250).astype(np.int32)
        sampler.submit(SampleRequest(i, prompt, Sampling(max_tokens=2), seed=i))
    with LiveBytes(sampler.model.parameters()) as live:
        sampler.step()
    cache = memory.static_cache_bytes(shape("qwen3"), 4, 252, 4)
    assert memory.prefill_bytes(shape("qwen3"), 1000, 4) == pytest.approx(live.peak - cache, rel=0.1)


def test_eight_bit_moments_take_two_bytes_and_their_scales() -> None:
    assert memory.optimizer_bytes(1 << 20, 4, eight_bit=False) == 8 << 20
    assert memory.optimizer_bytes(1 << 20, 4, eight_bit=True) == (2 << 20) + 2 * 4 * (1 << 12)


def test_logits_of_a_real_vocabulary_never_exist_at_once() -> None:
    qwen = ModelShape.from_config(FAMILIES["qwen3-4b"].config)
    bounded = memory.logits_bytes(qwen, 4096, Precision(2, 2))
    assert bounded < 700e6 < 4096 * qwen.vocab * 4
    assert bounded == memory.logits_bytes(qwen, 100_000, Precision(2, 2))
