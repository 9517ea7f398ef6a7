"""Pieces of tokens join up to the text, for word-level, byte-level and metaspace tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from coevolve.errors import ModelError
from coevolve.report.transcripts import TokenPieces
from coevolve.worlds.miniature.learner import MiniatureWorld

TEXTS = [
    "Let a = 2. Find a.",
    "héllo wörld",
    "数学は楽しい",
    "smile 🙂🙂 and 👩‍👩‍👧 end",
    "```python\nprint('ü')\n```\n",
    "\u202eabc\u202c \x1b[31mred\x1b[0m \x00",
    "  two  spaces ",
]


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(["Let a = 2. Find a. the remainder of 数"] * 3, trainer)
    tokenizer.add_special_tokens(["<|end|>"])
    return saved(tokenizer, tmp_path_factory)


@pytest.fixture(scope="module")
def metaspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    bytes_of = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", *bytes_of])
    tokenizer.train_from_iterator(["Let a = 2. Find a. héllo wörld and smile, red abc"] * 3, trainer)
    return saved(tokenizer, tmp_path_factory)


def saved(tokenizer: Tokenizer, folder: pytest.TempPathFactory) -> Path:
    file = folder.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(file))
    return file


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["byte_level", "metaspace"])
def test_pieces_join_up_to_the_text(kind: str, text: str, request: pytest.FixtureRequest) -> None:
    file = request.getfixturevalue(kind)
    tokenizer = Tokenizer.from_file(str(file))
    tokens = tokenizer.encode(text, add_special_tokens=False).ids
    stored = tokenizer.decode(tokens, skip_special_tokens=False)  # as a trajectory's text is made
    pieces = TokenPieces(file).of(tokens, stored)
    assert pieces is not None
    assert len(pieces) == len(tokens)
    assert "".join(pieces) == stored


def test_a_character_of_several_tokens_belongs_to_the_last_of_them(byte_level: Path) -> None:
    tokens = Tokenizer.from_file(str(byte_level)).encode("x🙂y").ids
    pieces = TokenPieces(byte_level).of(tokens, "x🙂y")
    assert pieces == ["x", "", "", "", "🙂", "y"]


def test_the_token_that_ends_a_turn_is_kept_after_the_text(byte_level: Path) -> None:
    tokenizer = Tokenizer.from_file(str(byte_level))
    tokens = [*tokenizer.encode("ab").ids, tokenizer.token_to_id("<|end|>")]
    pieces = TokenPieces(byte_level).of(tokens, "ab")
    assert pieces is not None
    assert pieces[-1] == "<|end|>"
    assert "".join(pieces[:-1]) == "ab"


def test_tokens_of_another_text_are_refused(byte_level: Path) -> None:
    pieces = TokenPieces(byte_level)
    tokens = Tokenizer.from_file(str(byte_level)).encode("Find a.").ids
    assert pieces.of(tokens, "Find b.") is None
    assert pieces.of(tokens, "Find a. And more") is None
    assert pieces.of([], "x") is None
    assert pieces.of([], "") == []


def test_the_miniature_tokenizer_is_cut_token_by_token() -> None:
    file = MiniatureWorld().base_model() / "tokenizer.json"
    text = "a = 43 * 80.\\boxed{3440}"
    tokens = Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).ids
    assert TokenPieces(file).of(tokens, text) == [
        *["a", " = ", "4", "3", " * ", "8", "0", ".", "\\boxed{"],
        *["3", "4", "4", "0", "}"],
    ]


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(ModelError) as caught:
        TokenPieces(file)
    assert caught.value.where == str(file)
