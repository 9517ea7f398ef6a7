"""Tokens that may not be drawn: which ones, and that sampler and trainer leave out the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coevolve.config import LoraSection
from coevolve.engine.banning import banned_tokens
from coevolve.engine.base import SampleRequest, Sampling
from coevolve.engine.local.models import load_model
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.vocabulary import Vocabulary
from coevolve.types import Ban, Batch, Bools, TrainRow

from .plain_loss import gradients, plain_loss, plain_model

PROTECTED = ["<question>", "</", "question", "qu", "est", " boxed", "{", "}", "python", "output", "```", "\n", " ", "7"]
PROTECTED += ["<|im_end|>", "stop", "a", " B", "\ufffd", ". "]
FREE = ["times", " apples", "Ünder", "What", " is", "remainder", "The", "x1y"]
BAN = Ban(seed=5, share=0.4)


@pytest.fixture
def vocabulary() -> Vocabulary:
    texts = (*PROTECTED, *FREE)
    return Vocabulary(len(texts), texts, frozenset({"<|im_end|>"}), frozenset({texts.index("stop")}), "")


def test_what_the_format_needs_is_never_banned(vocabulary: Vocabulary) -> None:
    left_out = banned_tokens(vocabulary, Ban(1, 1 - 1e-12))
    assert [text for text, out in zip(vocabulary.texts, left_out, strict=True) if not out] == PROTECTED


def test_a_ban_leaves_out_its_share_and_the_same_tokens_everywhere() -> None:
    words = tuple(f"zz{n}w" for n in range(4000))
    vocabulary = Vocabulary(len(words), words, frozenset(), frozenset(), "")
    first, again, other = (banned_tokens(vocabulary, ban) for ban in (Ban(1, 0.3), Ban(1, 0.3), Ban(2, 0.3)))
    assert first.tolist() == again.tolist()
    assert abs(first.mean() - 0.3) < 0.03  # four standard deviations
    assert abs((first & other).mean() - 0.09) < 0.02
    assert not banned_tokens(vocabulary, Ban(1, 0.0)).any()


@pytest.fixture
def mask(monkeypatch: pytest.MonkeyPatch) -> Bools:
    """The tokens of the tiny vocabulary are single letters, which all are protected: here any may be left out."""

    def drawn(vocabulary: Vocabulary, ban: Ban) -> Bools:
        return np.random.default_rng(ban.seed).random(vocabulary.size) < ban.share

    monkeypatch.setattr("coevolve.engine.local.banned.banned_tokens", drawn)
    size = 39
    found = np.random.default_rng(BAN.seed).random(size) < BAN.share
    assert 5 < found.sum() < 30
    return found


def written(sampler: LocalSampler, banned: Ban | None, temperature: float = 1.0) -> list[TrainRow]:
    """Texts that a sampler drew, as rows to train on."""
    prompt = np.array([1, 2, 3], np.int32)
    for n in range(5):
        sampler.submit(SampleRequest(n, prompt, Sampling(temperature, max_tokens=12, banned=banned), seed=n))
    rows = []
    while sampler.active:
        for one in sampler.step():
            length, begin = len(prompt) + len(one.tokens), np.zeros(len(prompt), np.float32)
            logp = np.concatenate([begin, one.logprobs])
            low, high = np.full(length, 0.2, np.float32), np.full(length, 0.3, np.float32)
            weight = np.concatenate([begin, np.full(len(one.tokens), 0.02, np.float32)])
            advantage = np.full(length, (-1.0) ** one.id, np.float32)
            tokens = np.concatenate([prompt, one.tokens]).astype(np.int32)
            rows.append(TrainRow(tokens, logp, advantage, low, high, weight, logp))
    return rows


def obey(model: torch.nn.Module, mask: Bools) -> torch.nn.Module:
    left_out = torch.from_numpy(mask)
    model.get_output_embeddings().register_forward_hook(  # type: ignore[operator]
        lambda module, inputs, logits: logits.masked_fill(left_out, -1e4)  # finite, for prompts that hold them
    )
    return model


def expected_logp(model: torch.nn.Module, row: TrainRow) -> np.ndarray:
    with torch.no_grad():
        logp = model(input_ids=torch.from_numpy(row.tokens).long()[None]).logits[0, :-1].log_softmax(-1)
    return logp.gather(-1, torch.from_numpy(row.tokens).long()[1:, None])[:, 0].numpy()


def test_sampler_and_trainer_leave_out_the_same_tokens(tiny_folder: Path, mask: Bools) -> None:
    sampler, trainer = LocalSampler(tiny_folder), LocalTrainer(tiny_folder)
    rows, free = written(sampler, BAN), written(sampler, None)
    drawn = np.concatenate([row.tokens[3:] for row in rows])
    assert not mask[drawn].any()
    assert mask[np.concatenate([row.tokens[3:] for row in free])].any()
    plain = obey(load_model(tiny_folder, dtype="float32"), mask)
    for row, own in zip(rows, trainer.logprobs(rows, BAN), strict=True):
        np.testing.assert_allclose(own[3:], row.sampler_logp[3:], atol=1e-5)
        np.testing.assert_allclose(own[3:], expected_logp(plain, row)[2:], atol=1e-5)
    for row, own in zip(free, trainer.logprobs(free), strict=True):
        np.testing.assert_allclose(own[3:], row.sampler_logp[3:], atol=1e-5)


def test_greedy_texts_obey_as_well(tiny_folder: Path, mask: Bools) -> None:
    rows = written(LocalSampler(tiny_folder), BAN, temperature=0.0)
    assert not mask[np.concatenate([row.tokens[3:] for row in rows])].any()


def test_loss_gradient_and_kl_are_those_among_the_tokens_that_could_be_drawn(tiny_folder: Path, mask: Bools) -> None:
    rows = written(LocalSampler(tiny_folder), BAN)
    trainer = LocalTrainer(tiny_folder, dtype="float64")
    trainer.set_reference()
    reference = obey(plain_model(tiny_folder, trainer), mask)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    batch = Batch(tuple(rows), kl=0.1, banned=BAN)
    oracle = obey(plain_model(tiny_folder, trainer), mask)
    loss = plain_loss(oracle, batch, 1.0, reference)
    loss.backward()
    stats = trainer.forward_backward(batch)
    assert stats.loss == pytest.approx(float(loss.detach()), abs=1e-6)
    assert np.isfinite(stats.entropy)
    found = gradients(trainer)
    for name, parameter in oracle.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-5, atol=1e-6)


def test_an_adapter_is_held_against_the_base_model_among_the_same_tokens(tiny_folder: Path, mask: Bools) -> None:
    rows = written(LocalSampler(tiny_folder), BAN)
    trainer = LocalTrainer(tiny_folder, lora=LoraSection(enabled=True, rank=4, alpha=8))
    trainer.forward_backward(Batch(tuple(rows), banned=BAN))
    trainer.step(1e-1)
    trainer.set_reference(tiny_folder)
    base = obey(load_model(tiny_folder, dtype="float32"), mask)
    gaps = [expected_logp(base, row)[2:] - own[3:] for row, own in zip(rows, trainer.logprobs(rows, BAN), strict=True)]
    kl = sum(float((np.exp(gap) - gap - 1).sum()) for gap in gaps)
    assert kl > 0.01
    stats = trainer.forward_backward(Batch(tuple(rows), kl=0.1, banned=BAN))
    assert stats.kl == pytest.approx(kl, rel=1e-3)
    free = replace(Batch(tuple(rows), kl=0.1), banned=None)
    assert trainer.forward_backward(free).kl != pytest.approx(kl, rel=1e-3), "without a ban it is another number"
