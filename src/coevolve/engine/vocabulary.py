"""What the tokens of a model folder are: how many are real, what each stands for, which ones end a text. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from coevolve.engine.chat import read_chat_template, token_name, tokenizer_settings
from coevolve.errors import ModelError

# Ends of a text or a turn by their usual names: base models write those of their family's chat models too.
_ENDS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "<|end|>", "<end_of_turn>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a model."""

    size: int  # ids 0 .. size-1 are tokens; a model's matrices may have more rows, which stand for nothing
    texts: tuple[str, ...]  # [size] what each token adds to the text before it
    special: frozenset[str]  # names of the special tokens, such as <|im_end|>
    ends: frozenset[int]  # tokens that end a text
    beginning: str  # names of the special tokens that this family puts before every text; mostly one or none


def vocabulary_size(path: Path) -> int:
    """The number of a model folder's tokens, see :class:`Vocabulary`.

    Raises:
        ModelError: its tokenizer cannot be read.
    """
    return _size(read_tokenizer(path / "tokenizer.json"))


def read_vocabulary(path: Path) -> Vocabulary:
    """The tokens of a model folder.

    A text ends with any token that the generation config, the model's config or the tokenizer call its end, that the
    chat template writes after a turn of the model, or that has one of the usual names of an end.

    Raises:
        ModelError: its tokenizer or one of these files cannot be read.
    """
    tokenizer = read_tokenizer(path / "tokenizer.json")
    size = _size(tokenizer)
    special = {token.content: id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    ends = _end_ids(path, tokenizer, special)
    return Vocabulary(size, _texts(tokenizer, size), frozenset(special), ends, _beginning(tokenizer))


def read_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer in a ``tokenizer.json``.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception for a missing or damaged file
        raise ModelError(
            f"{file.name} holds no tokenizer that can be read: {error}",
            where=str(file),
            fix="restore the file from its source",
        ) from error


def _size(tokenizer: Tokenizer) -> int:
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1


def _texts(tokenizer: Tokenizer, size: int) -> tuple[str, ...]:
    """Text of every token as it stands inside a text: some decoders drop the space of a first token."""
    first = tokenizer.encode("a", add_special_tokens=False).ids[-1:]
    lead = len(tokenizer.decode(first, skip_special_tokens=False))
    texts = tokenizer.decode_batch([[*first, id] for id in range(size)], skip_special_tokens=False)
    return tuple(text[lead:] for text in texts)


def _beginning(tokenizer: Tokenizer) -> str:
    whole, bare = (tokenizer.encode("a", add_special_tokens=added).ids for added in (True, False))
    start = next(i for i in range(len(whole) + 1) if whole[i : i + len(bare)] == bare)
    return tokenizer.decode(whole[:start], skip_special_tokens=False) if start else ""


def _end_ids(path: Path, tokenizer: Tokenizer, special: dict[str, int]) -> frozenset[int]:
    ends = set()
    for name in ("generation_config.json", "config.json"):
        declared = _json(path / name).get("eos_token_id")
        ends |= set(declared if isinstance(declared, list) else [] if declared is None else [declared])
    named = token_name(tokenizer_settings(path).get("eos_token") or "")
    ends |= {tokenizer.token_to_id(named)} if named else set()
    ends |= {special[name] for name in _ENDS if name in special}
    template = read_chat_template(path)
    if template is not None:
        after = template.after_answer().lstrip()
        ends |= {id for name, id in special.items() if after.startswith(name)}
    return frozenset(id for id in ends if id is not None)


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file.name} is damaged: it is not JSON ({error})", where=str(file)) from error
    return content if isinstance(content, dict) else {}
