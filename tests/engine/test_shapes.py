"""Sizes read off config.json, against models that transformers builds from the same numbers."""

from __future__ import annotations

from typing import Any

import pytest

from coevolve.engine.shapes import MATRICES, ModelShape
from coevolve.errors import ModelError

SMALL = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 160,
    "vocab_size": 211,
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("kind", "head_dim"), [("qwen3", 24), ("llama", None)])
def test_parameters_and_adapters_are_those_that_transformers_and_peft_count(
    kind: str, head_dim: int | None, tied: bool
) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, Any] = SMALL | {"tie_word_embeddings": tied} | ({"head_dim": head_dim} if head_dim else {})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
    shape = ModelShape.from_config({"model_type": kind, **sizes})
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    linear = [m for name, m in model.named_modules() if name.split(".")[-1] in MATRICES]
    assert len(linear) == 3 * len(MATRICES)
    assert shape.adapter_parameters(8) == sum(8 * (m.in_features + m.out_features) for m in linear)
    attention = [m for name, m in model.named_modules() if name.split(".")[-1] in ("q_proj", "v_proj")]
    assert shape.adapter_parameters(4, ("q_proj", "v_proj")) == sum(
        4 * (m.in_features + m.out_features) for m in attention
    )


@pytest.mark.parametrize(
    ("sizes", "billions"),
    [
        # (hidden, layers, heads, kv, head_dim, intermediate, vocab, tied, type), parameters as their cards say
        ((2560, 36, 32, 8, 128, 9728, 151936, True, "qwen3"), 4.02),
        ((4096, 36, 32, 8, 128, 12288, 151936, False, "qwen3"), 8.19),
        ((3072, 28, 24, 8, 128, 8192, 128256, True, "llama"), 3.21),
        ((4096, 32, 32, 8, 128, 14336, 128256, False, "llama"), 8.03),
    ],
)
def test_the_published_models_have_the_size_of_their_names(sizes: tuple[Any, ...], billions: float) -> None:
    hidden, layers, heads, kv, dim, inner, vocab, tied, kind = sizes
    shape = ModelShape.from_config(
        {
            "model_type": kind,
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv,
            "head_dim": dim,
            "intermediate_size": inner,
            "vocab_size": vocab,
            "tie_word_embeddings": tied,
        }
    )
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.01)


def test_a_model_of_another_family_and_a_missing_size_are_named() -> None:
    with pytest.raises(ModelError, match="type gpt2"):
        ModelShape.from_config({"model_type": "gpt2"})
    with pytest.raises(ModelError, match="num_hidden_layers"):
        ModelShape.from_config({"model_type": "llama", **{k: v for k, v in SMALL.items() if "layers" not in k}})
