"""The random model that stands in for a real one: sizes, tokens, and texts that use the protocol."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from coevolve.engine.base import Pause, SampleRequest, Sampling
from coevolve.engine.hub import FAMILIES
from coevolve.engine.local.models import check_base_model, load_tokenizer
from coevolve.engine.local.runtime import use_threads
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.errors import ConfigError, ModelError
from coevolve.methods.config import CoevolutionConfig
from coevolve.rollout.codec import Codec
from coevolve.rollout.protocol import written_question
from coevolve.types import PROPOSER, SOLVER, Origin, Task
from coevolve.worlds.base import PromptContext
from coevolve.worlds.open.learner import OpenWorld
from coevolve.worlds.open.stand_in import build
from coevolve.worlds.open.stand_in.build import StandIn, build_stand_in, make_small, small_folder
from coevolve.worlds.open.stand_in.tokenizer import NAMINGS, TRANSITIONS, save_tokenizer
from coevolve.worlds.registry import open_world

TINY = {"layers": 2, "hidden": 64, "vocabulary": 2048}
TASK = Task("t", ("What is 3 plus 4?",), "chain", Origin("agent0", PROPOSER, 1))
ASKED = PromptContext(TASK.turns[0])


@pytest.fixture(scope="module", params=["qwen3-4b", "octothinker-8b"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tied Qwen3 and an untied Llama."""
    path = tmp_path_factory.mktemp("stand-in") / "model"
    build_stand_in(path, StandIn(like=request.param, **TINY))
    return path


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    use_threads(1)


def written(folder: Path, prompt: str, stop: tuple[str, ...], n: int = 96) -> list[tuple[Pause, str]]:
    sampler, codec = LocalSampler(folder, max_rows=n), Codec(folder)
    for i in range(n):
        sampler.submit(SampleRequest(i, codec.encode(prompt), Sampling(max_tokens=40, stop=stop), seed=i))
    done = []
    while sampler.active:
        for completion in sampler.step():
            ids = completion.tokens[:-1] if completion.pause is Pause.EOS else completion.tokens
            done.append((completion.pause, codec.decode(ids)))
            if completion.pause is Pause.STOP:
                sampler.release(completion.id)
    return done


def test_probabilities_of_the_chain_add_up() -> None:
    for name, row in TRANSITIONS.items():
        assert sum(row.values()) == pytest.approx(1.0), name


def test_a_model_has_the_sizes_of_its_family_but_for_those_that_are_given(folder: Path) -> None:
    check_base_model(folder)
    load_tokenizer(folder)
    config = json.loads((folder / "config.json").read_text())
    qwen = config["model_type"] == "qwen3"
    family = FAMILIES["qwen3-4b" if qwen else "octothinker-8b"].config
    assert config["num_hidden_layers"] == 2
    assert config["hidden_size"] == 64
    assert config["tie_word_embeddings"] == family["tie_word_embeddings"] == qwen
    assert config["vocab_size"] - read_vocabulary(folder).size == (267 if qwen else 0)


@pytest.mark.parametrize(("family", "size", "total"), [("qwen3", 151_669, 151_936), ("llama", 128_256, 128_256)])
def test_a_whole_vocabulary_has_the_special_tokens_of_its_family_at_their_ids(
    tmp_path: Path, family: str, size: int, total: int
) -> None:
    naming = NAMINGS[family]
    save_tokenizer(tmp_path, naming, size=None, chat=True, longest=4096)
    found = read_vocabulary(tmp_path)
    codec = Codec(tmp_path)
    assert found.size == naming.total == size <= total
    known = {"qwen3": {"<|im_end|>": 151_645}, "llama": {"<|begin_of_text|>": 128_000, "<|eot_id|>": 128_009}}
    for name, id in known[family].items():
        assert codec.encode(name).tolist() == [id]
    text = "Ein Übermut ≥ 3 \\boxed{7}.\n```python\nprint(1)\n```\n"
    assert codec.decode(codec.encode(text)) == text


def test_a_useful_share_of_its_texts_asks_a_question_and_boxes_an_answer(folder: Path) -> None:
    world = OpenWorld(str(folder), "agent0")
    texts = written(folder, world.contract.prompt(PROPOSER), world.contract.stops(PROPOSER))
    questions = [written_question(text) for _, text in texts]
    formed = [q for q in questions if q is not None and world.is_well_formed(q)]
    assert 0.2 < len(formed) / len(texts) < 0.8
    assert len(set(formed)) > 20
    assert 0.4 < np.mean(["\\boxed{" in text for _, text in texts]) < 0.95


def test_a_useful_share_of_its_answers_calls_the_tool_and_some_write_on_after_the_box(folder: Path) -> None:
    contract = OpenWorld(str(folder), "agent0").contract
    texts = written(folder, contract.prompt(SOLVER, ASKED), ("```output", *contract.stops(SOLVER)))
    called = [text for pause, text in texts if pause is Pause.STOP and "```output" in text]
    assert 0.15 < len(called) / len(texts) < 0.6
    assert any(pause is Pause.STOP and contract.finished(SOLVER, text) for pause, text in texts)


def test_after_a_tool_result_it_goes_on_to_a_box(folder: Path) -> None:
    contract, codec = OpenWorld(str(folder), "agent0").contract, Codec(folder)
    prompt = contract.prompt(SOLVER, ASKED) + "```python\nprint(3+4)\n```\n```output\n7\n```\n"
    texts = written(folder, prompt, (), n=40)
    assert np.mean([text.startswith("\\boxed{") for _, text in texts]) > 0.6
    assert codec.decode(codec.encode(prompt)) == prompt


def test_what_it_writes_cannot_be_had_by_encoding_it_again(folder: Path) -> None:
    codec = Codec(folder)
    pieces = [name for name in TRANSITIONS if "\\boxed" in name or "```" in name]
    assert pieces
    assert all(len(codec.encode(piece)) > 1 for piece in pieces)


def test_without_a_template_prompts_are_plain_text(tmp_path: Path) -> None:
    build_stand_in(tmp_path / "model", StandIn(like="octothinker-3b", chat=False, **TINY))
    contract = OpenWorld(str(tmp_path / "model"), "agent0").contract
    assert contract.prompt(SOLVER, ASKED).startswith("<|begin_of_text|>A conversation")
    texts = written(tmp_path / "model", contract.prompt(SOLVER, ASKED), ("```output",), n=40)
    assert np.mean(["```output" in text for _, text in texts]) > 0.1


def test_equal_calls_write_equal_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        build_stand_in(tmp_path / name, StandIn(**TINY, seed=3))
        files = sorted((tmp_path / name).iterdir())
        digests.append([(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files])
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (StandIn(like="gpt-9"), "--like"),
        (StandIn(dtype="int3"), "--dtype"),
        (StandIn(hidden=48), "--hidden"),
        (StandIn(vocabulary=300), "--vocabulary"),
        (StandIn(vocabulary=400_000), "--vocabulary"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(tmp_path: Path, what: StandIn, where: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_stand_in(tmp_path / "model", what)
    assert error.value.where == where
    assert not (tmp_path / "model").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(ConfigError, match="no empty folder"):
            build_stand_in(place, StandIn(**TINY))
    assert (tmp_path / "mine").read_text() == ""


def test_the_open_worlds_own_model_is_in_the_cache() -> None:
    assert open_world(CoevolutionConfig(world="open").world_settings).base_model() == small_folder()


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coevolve").write_text("a file where a folder belongs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="cannot be made") as error:
        make_small()
    assert "XDG_CACHE_HOME" in error.value.fix


def test_what_another_process_has_made_meanwhile_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def slow(out: Path, what: StandIn) -> None:
        for folder in (out, small_folder()):
            folder.mkdir(parents=True)
            (folder / "by").write_text(folder.name)

    monkeypatch.setattr(build, "build_stand_in", slow)
    make_small()
    assert (small_folder() / "by").read_text() == small_folder().name
    assert [path.name for path in small_folder().parent.iterdir()] == [small_folder().name]
