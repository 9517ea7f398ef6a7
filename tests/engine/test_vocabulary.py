"""Which tokens a model folder has: padding rows, ends of a text, what a token adds to a text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM

from coevolve.engine.base import SampleRequest, Sampling
from coevolve.engine.chat import read_chat_template
from coevolve.engine.local.runtime import use_threads
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.stops import StopStrings
from coevolve.engine.vocabulary import read_vocabulary, vocabulary_size
from coevolve.errors import ModelError
from coevolve.types import Batch, TrainRow

PADDING = 9


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    use_threads(1)


@pytest.fixture(scope="module", params=["tied", "tiny"])
def padded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose matrices have more rows than its tokenizer has tokens; those rows would win every draw."""
    folder = tmp_path_factory.mktemp("padded") / "model"
    shutil.copytree(request.getfixturevalue(f"{request.param}_folder"), folder)
    weights = load_file(folder / "model.safetensors")
    rows = weights["model.embed_tokens.weight"].shape[0]
    for name in {"model.embed_tokens.weight", "lm_head.weight"} & weights.keys():
        old = weights[name]
        weights[name] = torch.cat([old, 5.0 * old[torch.arange(PADDING) % rows]]).contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": rows + PADDING}))
    return folder


def tokenizer_folder(path: Path, tokenizer: Tokenizer, **settings: object) -> Path:
    path.mkdir(exist_ok=True)
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def letters(*special: str) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate("abc?WHATSID ")}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def test_rows_that_stand_for_no_token_are_never_sampled_and_have_no_probability(padded: Path) -> None:
    size = vocabulary_size(padded)
    sampler, prompt = LocalSampler(padded), np.array([3, 4, 5], np.int32)
    for i in range(40):
        sampler.submit(SampleRequest(i, prompt, Sampling(max_tokens=20), seed=i))
    done = [c for _ in range(20) for c in sampler.step()]
    assert len(done) == 40
    whole = np.stack([np.concatenate([prompt, c.tokens]) for c in done]).astype(np.int64)
    assert whole.max() < size
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(padded)(torch.from_numpy(whole)).logits[:, 2:-1]
    padding = logits.softmax(-1)[..., size:].sum(-1)
    assert float(padding.median()) > 0.9  # or the test would show nothing
    expected = logits[..., :size].log_softmax(-1).gather(-1, torch.from_numpy(whole[:, 3:, None]))[..., 0]
    np.testing.assert_allclose(np.stack([c.logprobs for c in done]), expected.numpy(), atol=1e-4)


def test_the_trainer_knows_the_same_probabilities_and_leaves_those_rows_alone(padded: Path) -> None:
    size, trainer = vocabulary_size(padded), LocalTrainer(padded)
    sampler, prompt = LocalSampler(padded), np.array([3, 4, 5], np.int32)
    sampler.submit(SampleRequest(0, prompt, Sampling(max_tokens=30), seed=1))
    (done,) = [c for _ in range(30) for c in sampler.step()]
    tokens = np.concatenate([prompt, done.tokens])
    stream = np.concatenate([np.zeros(3), np.ones(len(done.tokens))]).astype(np.float32)
    old = np.concatenate([np.zeros(3, np.float32), done.logprobs])
    row = TrainRow(tokens, old, stream, 0.2 * stream, 0.2 * stream, stream, old)
    np.testing.assert_allclose(trainer.logprobs([row])[0][3:], done.logprobs, atol=1e-5)
    stats = trainer.forward_backward(Batch((row,)))
    assert stats.max_logp_gap < 1e-5
    assert 0 < stats.entropy / stats.tokens < np.log(size)
    gradient = trainer.model.get_output_embeddings().weight.grad
    assert float(gradient[:size].abs().sum()) > 0
    assert float(gradient[size:].abs().max()) == 0


def test_a_text_ends_with_every_token_that_any_file_or_the_template_or_a_usual_name_calls_its_end(
    tmp_path: Path,
) -> None:
    ends, others = ("<|endoftext|>", "<|im_end|>", "<|stop|>", "<|turn|>", "<|said|>"), ("<|im_start|>", "<|no|>")
    tokenizer = letters(*ends, *others)
    template = (
        "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.content }}"
        "{% if m.role == 'assistant' %}<|said|>\n{% else %}<|no|>{% endif %}{% endfor %}"
    )
    folder = tokenizer_folder(
        tmp_path / "model", tokenizer, eos_token={"content": "<|stop|>"}, bos_token="abc", chat_template=template
    )
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [tokenizer.token_to_id("<|turn|>")]}))
    (folder / "config.json").write_text(json.dumps({"eos_token_id": tokenizer.token_to_id("b")}))
    found = read_vocabulary(folder)
    assert found.ends == {tokenizer.token_to_id(name) for name in (*ends, "b")}
    assert found.special == {*ends, *others}


def test_the_tokens_that_a_family_puts_first_are_known(tmp_path: Path) -> None:
    plain, llama = letters("<|end|>"), letters("<s>", "<|end|>")
    llama.post_processor = processors.TemplateProcessing(
        single="<s> $A <|end|>",
        special_tokens=[(name, llama.token_to_id(name)) for name in ("<s>", "<|end|>")],
    )
    assert read_vocabulary(tokenizer_folder(tmp_path / "plain", plain)).beginning == ""
    assert read_vocabulary(tokenizer_folder(tmp_path / "llama", llama)).beginning == "<s>"


def test_a_token_keeps_the_space_that_its_decoder_drops_at_the_start_of_a_text(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"▁a": 0, "▁User": 1, ":": 2, "\n": 3, "a": 4}, unk_token=":"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    assert tokenizer.decode([1]) == "User"
    texts = read_vocabulary(tokenizer_folder(tmp_path / "model", tokenizer)).texts
    assert texts[:4] == (" a", " User", ":", "\n")
    assert StopStrings(texts, (" User:",)).completed([0, 1, 2])
    assert not StopStrings(texts, ("\nUser:",)).completed([0, 1, 2])


def test_bytes_of_one_letter_over_several_tokens_hide_no_stop_string(tmp_path: Path) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = read_vocabulary(tokenizer_folder(tmp_path / "model", tokenizer)).texts
    ids = tokenizer.encode("π = 3 ± 1}\n").ids
    assert len(ids) > len("π = 3 ± 1}\n")
    stops = StopStrings(texts, ("}\n",))
    assert [stops.completed(ids[: i + 1]) for i in range(len(ids))] == [False] * (len(ids) - 1) + [True]


def test_added_tokens_beyond_the_base_vocabulary_count(tmp_path: Path) -> None:
    tokenizer = letters()
    tokenizer.add_tokens([AddedToken("<think>", special=False)])
    found = read_vocabulary(tokenizer_folder(tmp_path / "model", tokenizer))
    assert found.size == vocabulary_size(tmp_path / "model") == tokenizer.get_vocab_size()
    assert found.special == frozenset()
    assert found.texts[-1] == "<think>"


def test_a_template_is_never_told_the_date(tmp_path: Path) -> None:
    date = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}26 Jul 2024{% endif %}"
    template = date + "{{ messages[-1].content }}"
    folder = tokenizer_folder(tmp_path / "model", letters("<|end|>"), chat_template=template)
    chat = read_chat_template(folder)
    assert chat is not None
    assert chat.render([{"role": "user", "content": "hi"}], answer_next=True) == "26 Jul 2024hi"


def test_marks_of_what_the_model_wrote_leave_no_trace(tmp_path: Path) -> None:
    template = "{% for m in messages %}{% generation %}[{{ m.content }}]{% endgeneration %}{% endfor %}"
    chat = read_chat_template(tokenizer_folder(tmp_path / "model", letters("<|end|>"), chat_template=template))
    assert chat is not None
    assert chat.render([{"role": "user", "content": "hi"}], answer_next=True) == "[hi]"


@pytest.mark.parametrize(
    "template", ["{% for %}", "{{ raise_exception('no such turn') }}", "{{ ''.__class__.__mro__ }}"]
)
def test_a_template_that_fails_is_named_with_its_file(tmp_path: Path, template: str) -> None:
    folder = tokenizer_folder(tmp_path / "model", letters("<|end|>"), chat_template=template)
    with pytest.raises(ModelError, match="chat template") as error:
        read_vocabulary(folder)
    assert "tokenizer_config.json" in error.value.where
