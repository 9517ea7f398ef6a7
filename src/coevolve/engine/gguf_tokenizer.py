"""The tokenizer of a GGUF file as ``tokenizer.json``, with the rules of splitting that the model was trained with.

A GGUF file holds tokens, merges and the name of a pre-tokenizer, but neither its rules nor a normalizer. For these
families the loader of transformers (5.19) gives some texts other tokens than the model was trained with: it does not
know ``smollm``, which cuts out every digit before anything else, so that blanks and line ends in front of a number
merge; it merges words that Llama 3 takes whole, and leaves out its first token; and it does not compose characters
(NFC) as Qwen does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coevolve.errors import ModelError

if TYPE_CHECKING:
    from gguf import GGUFReader
    from tokenizers import Tokenizer

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # kinds of tokens, as llama.cpp numbers them
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}

# How the families cut a text into pieces before merges are applied, from their tokenizer.json.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, slots=True)
class _Splitting:
    """How one pre-tokenizer works."""

    digits: int = 0  # digits of a number that stay together; 0: no rule of its own, that of GPT-2 holds
    single: bool = False  # GPT-2's rule, after every digit has been cut out
    whole_words: bool = False  # a piece that is a token is not merged from its parts
    composed: bool = False  # texts are normalised (NFC)
    begins: bool = False  # where the file does not say it: every text begins with the token named bos


_LLAMA3, _QWEN2 = _Splitting(digits=3, whole_words=True, begins=True), _Splitting(digits=1, composed=True)
_SPLITTINGS = {
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "falcon3": _LLAMA3,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "megrez": _QWEN2,
    "smollm": _Splitting(single=True),
    "gpt-2": _Splitting(),
}


def write_tokenizer(reader: GGUFReader, file: Path, folder: Path, *, longest: int) -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json`` and, where there is one, ``chat_template.jinja``.

    Args:
        reader: of the file.
        file: its name, for messages.
        folder: must exist.
        longest: tokens of the longest text, for whoever loads the folder.

    Raises:
        ModelError: it is a tokenizer that is not understood.
    """
    said = _Said(reader)
    tokens: list[str] = said.get("tokens", [])
    tokenizer = _byte_level(said, tokens, file)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {name: said.get(f"{key}_token_id") for name, key in _SPECIAL.items()}
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": longest,
        **{name: tokens[id] for name, id in named.items() if id is not None},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if template := said.of("tokenizer.chat_template"):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


class _Said:
    """What a file says of its tokenizer."""

    def __init__(self, reader: GGUFReader) -> None:
        self._fields = reader.fields

    def of(self, key: str, default: Any = None) -> Any:
        return self._fields[key].contents() if key in self._fields else default

    def get(self, key: str, default: Any = None) -> Any:
        return self.of(f"tokenizer.ggml.{key}", default)


def _byte_level(said: _Said, tokens: list[str], file: Path) -> Tokenizer:
    """A tokenizer that merges bytes, as all of these families have."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    rules = _rules(said, file)
    kinds: list[int] = said.get("token_type") or [1] * len(tokens)
    size = max((id + 1 for id, kind in enumerate(kinds) if kind != _UNUSED), default=0)
    merges = [tuple(merge.split(" ", 1)) for merge in said.get("merges", [])]
    core = Tokenizer(
        models.BPE(
            vocab={token: id for id, token in enumerate(tokens[:size])}, merges=merges, ignore_merges=rules.whole_words
        )
    )
    if rules.composed:
        core.normalizer = normalizers.NFC()
    core.pre_tokenizer = _pre_tokenizer(rules)
    core.decoder = decoders.ByteLevel()
    core.add_tokens(
        [
            AddedToken(token, normalized=False, special=kind == _CONTROL)
            for token, kind in zip(tokens[:size], kinds, strict=False)
            if kind in (_CONTROL, _USER_DEFINED)
        ]
    )
    beginning = said.get("bos_token_id")
    if said.get("add_bos_token", rules.begins) and beginning is not None:
        core.post_processor = processors.TemplateProcessing(
            single=f"{tokens[beginning]} $A", special_tokens=[(tokens[beginning], beginning)]
        )
    return core


def _rules(said: _Said, file: Path) -> _Splitting:
    kind, splitting = said.get("model"), said.get("pre")
    if kind != "gpt2" or splitting not in _SPLITTINGS:
        what = f"its pre-tokenizer is {splitting}" if kind == "gpt2" else f"its tokenizer is of the kind {kind}"
        raise ModelError(
            f"the tokenizer of {file.name} is not understood: {what}",
            where=str(file),
            fix=f"use the model's own Hugging Face folder; known are gpt2 with {', '.join(_SPLITTINGS)}",
        )
    return _SPLITTINGS[splitting]


def _pre_tokenizer(rules: _Splitting) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if rules.digits:
        numbers = rf"\p{{N}}{{1,{rules.digits}}}" if rules.digits > 1 else r"\p{N}"
        cut = pre_tokenizers.Split(Regex(_WORDS + numbers + _REST), behavior="isolated")
        return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words]) if rules.single else words
