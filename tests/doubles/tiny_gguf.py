"""Small GGUF files of random models, written with the package gguf as llama.cpp's converter writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFWriter, get_tensor_name_map, quantize
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

MERGES = (" t", "he", " the", "in", "nu", "um", "  ", "\n\n", "   ", "12", "ab", "wo", "or", "wor", "rd")
SPECIAL = {
    "llama": ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
    "qwen3": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "qwen2": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
}
USER_DEFINED = "<think>"
TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n{{ turn['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": True,
}


def spelled(text: str) -> str:
    """A text in the alphabet of byte-level vocabularies."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(piece for piece, _ in byte_level.pre_tokenize_str(text))


def vocabulary(kind: str, merges: Sequence[str] = MERGES) -> tuple[list[str], list[str], list[int]]:
    """Tokens, merges and kinds of tokens: bytes, then what is merged of two known pieces, then special ones."""
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = []
    for merged in map(spelled, merges):
        cut = next(i for i in range(len(merged) - 1, 0, -1) if merged[:i] in tokens and merged[i:] in tokens)
        pairs.append(f"{merged[:cut]} {merged[cut:]}")
        tokens.append(merged)
    plain = len(tokens)
    tokens += [*SPECIAL[kind], USER_DEFINED]
    return tokens, pairs, [1] * plain + [3] * 3 + [4]


def random_model(kind: str, seed: int = 0, **sizes: Any) -> PreTrainedModel:
    """A model whose weights, norms included, are drawn."""
    vocab = len(vocabulary(kind)[0])
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, "vocab_size": vocab, **sizes}))
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.normal_(1.0 if "norm" in name else 0.0, 0.1)
    return model.eval()


def write_gguf(
    path: Path,
    model: PreTrainedModel,
    *,
    stored: GGMLQuantizationType = GGMLQuantizationType.F32,
    pre: str = "",
    extra: Mapping[str, Any] | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
    template: str | None = TEMPLATE,
) -> Path:
    """The file of a model.

    Args:
        stored: the type of its matrices; norms and biases are float32.
        pre: name of its pre-tokenizer, by default that of the family.
        extra: further values of its metadata, in place of what stands there otherwise.
        tensors: further tensors.
    """
    config, kind = model.config, model.config.model_type
    writer = GGUFWriter(path, kind)
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    tokens, merges, kinds = vocabulary(kind)
    special = {name: tokens.index(name) for name in SPECIAL[kind]}
    said: dict[str, Any] = {
        f"{kind}.block_count": config.num_hidden_layers,
        f"{kind}.context_length": config.max_position_embeddings,
        f"{kind}.embedding_length": config.hidden_size,
        f"{kind}.feed_forward_length": config.intermediate_size,
        f"{kind}.attention.head_count": heads,
        f"{kind}.attention.head_count_kv": kv_heads,
        f"{kind}.attention.key_length": width,
        f"{kind}.attention.value_length": width,
        f"{kind}.rope.dimension_count": width,
        f"{kind}.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        f"{kind}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre or ("llama-bpe" if kind == "llama" else "qwen2"),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": special[SPECIAL[kind][0]],
        "tokenizer.ggml.eos_token_id": special[SPECIAL[kind][2]],
        "tokenizer.ggml.padding_token_id": special[SPECIAL[kind][1]],
        "tokenizer.chat_template": template,
        **(extra or {}),
    }
    for key, value in said.items():
        if value is not None:
            _add(writer, key, value)
    arch = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == kind)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        stem, _, part = name.rpartition(".")
        if stem == "lm_head" and config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        if kind == "llama" and stem.endswith(("q_proj", "k_proj")):
            rows = heads if stem.endswith("q_proj") else kv_heads
            values = values.reshape(rows, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
        as_stored = stored if values.ndim > 1 else GGMLQuantizationType.F32
        writer.add_tensor(
            f"{names.get_name(stem)}.{part}", quantize(np.ascontiguousarray(values), as_stored), raw_dtype=as_stored
        )
    for name, values in (tensors or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    if isinstance(value, list):
        writer.add_array(key, value)
    else:
        add[type(value)](key, value)
