"""Small byte-level tokenizers in the manner of two families, for the open world's tests; no model."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
QWEN_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def byte_level(special: tuple[str, ...], merges: tuple[tuple[str, str], ...] = ()) -> Tokenizer:
    """Bytes, the given merges in this order, and special tokens; texts are not cut before they are merged."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = dict.fromkeys([*alphabet, *(a + b for a, b in merges)])
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def save(folder: Path, tokenizer: Tokenizer, **settings: object) -> Path:
    """A folder with the tokenizer's files."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return folder


def qwen(folder: Path, *, chat: bool = True, merges: tuple[tuple[str, str], ...] = ()) -> Path:
    """No token stands before a text."""
    settings = {"chat_template": QWEN_TEMPLATE} if chat else {}
    return save(folder, byte_level(QWEN, merges), eos_token="<|endoftext|>", **settings)


def llama(folder: Path, *, chat: bool = True) -> Path:
    """Every text begins with a token, which the template writes itself."""
    tokenizer = byte_level(LLAMA)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A",
        special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))],
    )
    settings = {"chat_template": LLAMA_TEMPLATE} if chat else {}
    return save(folder, tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>", **settings)
