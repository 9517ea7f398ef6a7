"""Tiny random models in the shapes that vLLM's CPU kernels know, and what to hold a sampler against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from coevolve.config import Config
from coevolve.engine.base import Arrays, Completion, Sampler, Snapshot
from coevolve.types import Floats, Ints

WORDS = ["<eos>", "a", "b", "c", "d", "stop", "st", "op", "halt!", *[f"w{i}" for i in range(55)]]


def write_model(folder: Path, *, tied: bool, padding: int = 0) -> Path:
    """A Qwen3 with weights large enough that a mistake shows, whose words are its tokens; and rows that are none."""
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=len(WORDS) + padding, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=512,
        tie_word_embeddings=tied, eos_token_id=0,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    for p in model.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.25)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(folder)
    return folder


def vllm_config(**sections: dict[str, object]) -> Config:
    """A configuration with vLLM as its sampler and a small cache."""
    own: dict[str, dict[str, object]] = {"engine": {"sampler": "vllm", "max_rows": 32}, "vllm": {"cache_gb": 0.05}}
    return Config(**{name: own.get(name, {}) | sections.get(name, {}) for name in own | sections})  # type: ignore[arg-type]


def finish(sampler: Sampler) -> dict[int, Completion]:
    """Step until nobody decodes; the last completion of each sequence."""
    out: dict[int, Completion] = {}
    while sampler.active:
        out.update({c.id: c for c in sampler.step()})
    return out


def prompt(*ids: int) -> Ints:
    return np.array(ids, np.int32)


def forward(folder: Path, tokens: Ints, weights: Snapshot | None = None, temperature: float = 1.0) -> Floats:
    """Log-probabilities [T - 1] of all tokens but the first, by transformers' plain forward pass."""
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if weights is not None:
        model.load_state_dict({n: torch.from_numpy(np.asarray(w)) for n, w in weights.source.weights.items()})
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens[None].astype(np.int64))).logits[0, :-1]
    logp = (logits / temperature).log_softmax(-1)
    out: Floats = logp.gather(-1, torch.from_numpy(tokens[1:, None].astype(np.int64)))[:, 0].numpy()
    return out


def weights_of(folder: Path, *, version: int = 0, change: Callable[[str, Floats], Floats] | None = None) -> Snapshot:
    """All weights of a folder under the names of its model, changed."""
    state = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    arrays = {n: v.numpy() for n, v in state.items()}
    return Snapshot("p", version, Arrays({n: change(n, v) if change else v for n, v in arrays.items()}))
