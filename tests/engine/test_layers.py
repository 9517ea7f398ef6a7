"""The layers that are written out, against autograd through transformers' own modules."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models

from coevolve.config import LoraSection
from coevolve.engine.local import lora
from coevolve.engine.local.layers import layers_of
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.types import Batch

from .plain_loss import (
    gradients,
    near_policy,
    plain_loss,
    plain_model,
    set_weights,
    some_rows,
    weights_of,
    with_exact_norms,
)

ADD = lora.add_adapter
SIZES: dict[str, Any] = {
    "vocab_size": 39,
    "hidden_size": 48,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
}


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with biases, which those of the other tests do not have."""
    from transformers import AutoConfig, AutoModelForCausalLM

    more = {"attention_bias": True, "mlp_bias": True} if request.param == "llama" else {}
    config = AutoConfig.for_model(request.param, **SIZES | more, tie_word_embeddings=True)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    path = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(str(path))
    Tokenizer(models.WordLevel({f"w{i}": i for i in range(39)}, unk_token="w0")).save(str(path / "tokenizer.json"))
    return path


@pytest.mark.parametrize("portion", [1024, 16])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_of_all_weights_is_that_of_autograd(
    folder: Path, portion: int, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coevolve.engine.local.layers.PORTION", portion)
    trainer = LocalTrainer(folder, dtype="float64", checkpointing=checkpointing)
    trainer._least = 1  # every common beginning is shared, however short
    assert layers_of(trainer.model) is not None
    batch = Batch(near_policy(trainer, some_rows()))
    oracle = plain_model(folder, trainer)
    expected = plain_loss(oracle, batch)
    expected.backward()
    assert trainer.forward_backward(batch).loss == pytest.approx(float(expected.detach()), rel=1e-7)
    found = gradients(trainer)
    for name, parameter in oracle.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("targets", [LoraSection().targets, ["q_proj", "o_proj", "up_proj"]], ids=["all", "three"])
def test_the_gradient_of_an_adapter_is_that_of_autograd(
    folder: Path, targets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle is peft's arithmetic in transformers' modules; B is moved from 0, so that A has a gradient."""
    monkeypatch.setattr(lora, "add_adapter", lambda *given, **more: ADD(*given, **more | {"dtype": torch.float64}))
    section = LoraSection(enabled=True, rank=4, alpha=12, targets=targets)
    trainer, plain = (LocalTrainer(folder, lora=section, dtype="float64") for _ in range(2))
    draw = np.random.default_rng(0)
    weights = {name: draw.normal(0, 0.1, value.shape) for name, value in weights_of(trainer).items()}
    for one in (trainer, plain):
        set_weights(one, weights)
    trainer._least = 1
    batch = Batch(near_policy(trainer, some_rows()))
    plain.model.set_attn_implementation("sdpa")  # type: ignore[operator]
    with_exact_norms(plain.model)
    expected = plain_loss(plain.model, batch)
    expected.backward()
    assert trainer.forward_backward(batch).loss == pytest.approx(float(expected.detach()), rel=1e-7)
    found = trainer._trained.parameters
    for name, parameter in plain._trained.parameters.items():
        torch.testing.assert_close(found[name].grad, parameter.grad, rtol=1e-6, atol=1e-9)


def test_other_models_and_precisions_are_left_to_their_modules(folder: Path) -> None:
    trainer = LocalTrainer(folder)
    assert layers_of(trainer.model) is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert layers_of(trainer.model) is None
    trainer.model.config.hidden_act = "gelu"
    assert layers_of(trainer.model) is None
    trainer.model.config.hidden_act = "silu"
    trainer.model.config.layer_types = ["full_attention", "sliding_attention"]
    assert layers_of(trainer.model) is None
