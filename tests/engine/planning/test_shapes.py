"""Sizes read off config.json, against models that transformers builds from the same numbers."""

from __future__ import annotations

from typing import Any

import pytest

from coevolve.engine.hub import FAMILIES, published_config
from coevolve.engine.planning.shapes import MATRICES, ModelShape
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
    ("name", "billions"), [("qwen3-4b", 4.02), ("qwen3-8b", 8.19), ("octothinker-3b", 3.21), ("octothinker-8b", 8.03)]
)
def test_the_published_models_have_the_size_of_their_names(name: str, billions: float) -> None:
    """Parameters as their cards say them."""
    shape = ModelShape.from_config(FAMILIES[name].config)
    assert shape.parameters / 1e9 == pytest.approx(billions, abs=0.01)
    assert published_config(FAMILIES[name].hub_id) == FAMILIES[name].config


@pytest.mark.parametrize("name", FAMILIES)
def test_transformers_builds_the_published_models_from_their_configurations(name: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    content = dict(FAMILIES[name].config)
    config = AutoConfig.for_model(content.pop("model_type"), **content)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert type(model).__name__ == content["architectures"][0]
    assert ModelShape.from_config(FAMILIES[name].config).parameters == sum(p.numel() for p in model.parameters())


def test_a_model_of_another_family_and_a_missing_size_are_named() -> None:
    with pytest.raises(ModelError, match="type gpt2"):
        ModelShape.from_config({"model_type": "gpt2"})
    with pytest.raises(ModelError, match="num_hidden_layers"):
        ModelShape.from_config({"model_type": "llama", **{k: v for k, v in SMALL.items() if "layers" not in k}})
