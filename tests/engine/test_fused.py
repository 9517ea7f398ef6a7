"""Our own forward pass against that of transformers, for each family that it takes over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from coevolve.engine.local.fused import FusedDecoder, Projection, can_fuse
from coevolve.engine.local.growing import GrowingPasses, SlotCache

SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3,
}  # fmt: skip
STRETCHED = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip


def model(kind: str, **others: Any) -> Any:
    torch.manual_seed(0)
    made: Any = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, **others)),
        "llama3": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True, rope_parameters=STRETCHED)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8, tie_word_embeddings=True)),
    }[kind]()
    for name, parameter in made.named_parameters():
        if parameter.dim() == 1:  # norms and biases that say nothing at first
            torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.3)
    return made.eval().requires_grad_(False)


def passes(whole: Any) -> GrowingPasses:
    config = whole.config
    dim = whole.model.layers[0].self_attn.head_dim
    cache = SlotCache(3, config.num_key_value_heads, dim, dtype=whole.dtype, device=torch.device("cpu"))
    cache.reserve(3, 20)
    return GrowingPasses(whole, cache)


TEXTS = np.random.default_rng(0).integers(0, 50, (3, 40)).astype(np.int32)


def logits(mine: GrowingPasses) -> torch.Tensor:
    """After 9, 20 and 13 tokens, computed in three passes over one, several and many of them."""
    rows = np.arange(3)
    mine.open([])
    mine.begin(rows, list(TEXTS))
    mine.forward(TEXTS, rows, np.zeros(3, np.int64), np.array([7, 1, 12]))
    mine.forward(TEXTS, rows[:2], np.array([7, 1]), np.array([1, 18]))
    return mine.forward(TEXTS, rows, np.array([8, 19, 12]), np.ones(3, np.int64))


@pytest.fixture(params=[True, False], ids=["packed", "plain"], autouse=True)
def packed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With and without a copy of every matrix in oneDNN's layout, which only large ones get."""
    monkeypatch.setattr("coevolve.engine.local.fused.ONEDNN", 1 if request.param else 1 << 30)
    return bool(request.param)


def test_large_matrices_are_packed_where_onednn_is(packed: bool) -> None:
    weight, bias = torch.randn(30, 20), torch.randn(30)
    own = Projection(weight, bias)
    if torch.backends.mkldnn.is_available():
        assert (own._packed is not None) == packed
    assert Projection(weight.bfloat16(), None)._packed is None
    for rows in (1, 7, 40):
        x, states = torch.randn(rows, 20), torch.randn(rows, 30)
        expected = x @ weight.t() + bias
        torch.testing.assert_close(own(x), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(own.added(states.clone(), x), expected + states, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "llama3", "qwen2", "qwen3"])
def test_logits_are_those_of_transformers_modules(kind: str) -> None:
    whole = model(kind)
    assert can_fuse(whole)
    with torch.inference_mode():
        expected = whole(torch.from_numpy(TEXTS.astype(np.int64))).logits
        found = logits(passes(whole))
    for row, last in enumerate((8, 19, 12)):
        torch.testing.assert_close(found[row], expected[row, last], atol=1e-5, rtol=1e-5)


def test_other_architectures_are_left_to_their_modules() -> None:
    assert not can_fuse(model("llama", hidden_act="gelu"))
    assert not can_fuse(model("llama", rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}))
    assert not can_fuse(model("llama", mlp_bias=True))
    adapted = model("llama")
    adapted.model.layers[1].mlp.up_proj = torch.nn.Sequential(adapted.model.layers[1].mlp.up_proj)
    assert not can_fuse(adapted)


def test_weights_that_are_written_to_the_model_are_taken_over() -> None:
    whole, other = model("qwen3"), model("qwen3")
    mine = passes(whole)
    with torch.inference_mode():
        for name, value in other.state_dict().items():
            value.mul_(0.5 if "norm" not in name else 0.9)
            whole.state_dict()[name].copy_(value)
    mine.weights_changed()
    with torch.inference_mode():
        found, expected = logits(mine), logits(passes(other))
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


def test_gate_and_up_are_stored_once() -> None:
    whole = model("llama")
    FusedDecoder(whole)
    mlp = whole.model.layers[0].mlp
    assert mlp.gate_proj.weight.data_ptr() + mlp.gate_proj.weight.nbytes == mlp.up_proj.weight.data_ptr()
    assert all(value.is_contiguous() for value in whole.state_dict().values())
