"""The models that presets name, and what their config.json says: sizes are known before anything is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_QWEN3: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "head_dim": 128,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "vocab_size": 151936,
}
_LLAMA3: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "head_dim": 128,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "vocab_size": 128256,
}
_STRETCH = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


@dataclass(frozen=True, slots=True)
class Family:
    """A published model: its id on the hub and the sizes of its config.json."""

    hub_id: str
    config: Mapping[str, Any]


FAMILIES: Mapping[str, Family] = {
    "qwen3-4b": Family(
        "Qwen/Qwen3-4B-Base",
        _QWEN3 | {"hidden_size": 2560, "intermediate_size": 9728, "tie_word_embeddings": True},
    ),
    "qwen3-8b": Family(
        "Qwen/Qwen3-8B-Base",
        _QWEN3 | {"hidden_size": 4096, "intermediate_size": 12288, "tie_word_embeddings": False},
    ),
    "octothinker-3b": Family(
        "OctoThinker/OctoThinker-3B-Hybrid-Base",
        _LLAMA3
        | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
        | {"tie_word_embeddings": True, "rope_scaling": {"rope_type": "llama3", "factor": 32.0, **_STRETCH}},
    ),
    "octothinker-8b": Family(
        "OctoThinker/OctoThinker-8B-Hybrid-Base",
        _LLAMA3
        | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
        | {"tie_word_embeddings": False, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, **_STRETCH}},
    ),
}


def published_config(hub_id: str) -> Mapping[str, Any] | None:
    """The config.json of a model by its hub id, where it is one of ``FAMILIES``."""
    return next((family.config for family in FAMILIES.values() if family.hub_id == hub_id), None)
