"""Adapters on a shared base model, against peft on the standard model, and against themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coevolve.config import LoraSection
from coevolve.config.acting import Distribution
from coevolve.engine.base import (
    ADAPTER_CONFIG,
    ADAPTER_FILE,
    Arrays,
    Completion,
    Folder,
    SampleRequest,
    Sampling,
    Snapshot,
)
from coevolve.engine.local.models import load_model
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.errors import ConfigError, EngineError
from coevolve.learning.guard import UpdateGuard
from coevolve.rollout.policy import Policy
from coevolve.types import Batch, Floats, StopReason, TrainRow, Trajectory

from .plain_loss import plain_loss, set_weights, weights_of

LORA = LoraSection(enabled=True, rank=4, alpha=8)


def rows(count: int = 5, seed: int = 0) -> tuple[TrainRow, ...]:
    """Answers with an observation in the middle; the last two share a beginning."""
    random = np.random.default_rng(seed)
    made: list[TrainRow] = []
    for i in range(count):
        length = int(random.integers(9, 25))
        tokens = random.integers(0, 39, length).astype(np.int32)
        if i == count - 1:
            tokens[:5] = made[-1].tokens[:5]
        weight = np.full(length, 0.02, np.float32)
        weight[:3] = weight[5:7] = 0
        full = [np.full(length, value, np.float32) for value in (-3.6, random.normal(), 0.2, 0.3)]
        made.append(TrainRow(tokens, *full, weight, full[0]))
    return tuple(made)


def adapter_on(folder: Path, steps: int = 0, lr: float = 1e-2, **options: object) -> LocalTrainer:
    trainer = LocalTrainer(folder, lora=LORA, **options)  # type: ignore[arg-type]
    train(trainer, steps, lr)
    return trainer


def train(trainer: LocalTrainer, steps: int, lr: float = 1e-2, kl: float = 0.0) -> None:
    for step in range(steps):
        trainer.forward_backward(Batch(rows(seed=step), kl=kl))
        trainer.step(lr)


def frozen(trainer: LocalTrainer) -> dict[str, bytes]:
    """Every number of the model that is not the adapter's."""
    return {
        name: value.detach().float().numpy().tobytes()
        for name, value in trainer.model.named_parameters()
        if "lora_" not in name
    }


def same(one: dict[str, Floats], other: dict[str, Floats]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("fixture", ["tiny_folder", "tied_folder"])
def test_training_one_adapter_moves_neither_the_other_nor_the_base(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(fixture)
    curriculum, executor = adapter_on(folder), adapter_on(folder, steps=1)
    for mine, theirs in zip(curriculum.model.named_parameters(), executor.model.named_parameters(), strict=True):
        assert ("lora_" in mine[0]) != (mine[1] is theirs[1]), "one base in memory"
    base, other = frozen(curriculum), weights_of(executor)
    before, scores = weights_of(curriculum), executor.logprobs(rows())
    curriculum.set_reference()
    train(curriculum, 3, kl=0.1)
    assert not any(np.array_equal(before[name], value) for name, value in weights_of(curriculum).items())
    assert frozen(curriculum) == base
    assert same(weights_of(executor), other)
    for a, b in zip(scores, executor.logprobs(rows()), strict=True):
        assert a.tobytes() == b.tobytes()
    stored = load_model(folder).state_dict()
    assert frozen(curriculum) == {
        name.replace(".weight", ".base_layer.weight") if f"{name[:-7]}.base_layer.weight" in base else name:
        stored[name].numpy().tobytes()
        for name in dict(load_model(folder).named_parameters())
    }  # fmt: skip


def test_a_new_adapter_and_none_are_the_base_model_to_the_last_bit(tiny_folder: Path) -> None:
    plain = LocalTrainer(tiny_folder)
    trainer = adapter_on(tiny_folder)
    for state in (None, {}):
        if state is not None:
            train(trainer, 2)
            set_weights(trainer, state)
        for expected, found in zip(plain.logprobs(rows()), trainer.logprobs(rows()), strict=True):
            assert np.array_equal(expected, found)


def test_two_seeds_give_two_adapters_and_equal_ones_the_same(tiny_folder: Path) -> None:
    one, again, other = (weights_of(adapter_on(tiny_folder, seed=seed)) for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


def test_the_gradient_is_the_one_that_peft_and_the_plain_formula_give(tiny_folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    trainer = adapter_on(tiny_folder, steps=2)
    trainer.save(tmp_path, optimizer=False)
    oracle = PeftModel.from_pretrained(load_model(tiny_folder), str(tmp_path), is_trainable=True)
    batch = Batch(rows(seed=9))
    total = torch.zeros(())
    for row in batch.rows:
        tokens = torch.from_numpy(row.tokens.astype(np.int64))[None]
        logp = torch.log_softmax(oracle(input_ids=tokens).logits[0, :-1], -1)
        logp = logp[torch.arange(tokens.shape[1] - 1), tokens[0, 1:]]
        old, gain, low, high, weight = (
            torch.from_numpy(getattr(row, name)[1:])
            for name in ("old_logp", "advantage", "clip_low", "clip_high", "weight")
        )
        ratio = torch.exp(logp - old)
        total = total - (weight * torch.min(ratio * gain, torch.clamp(ratio, 1 - low, 1 + high) * gain)).sum()
    total.backward()
    assert trainer.forward_backward(batch).loss == pytest.approx(float(total.detach()), abs=1e-5)
    expected = {n.replace(".default.", "."): p.grad for n, p in oracle.named_parameters() if p.requires_grad}
    found = {name: p.grad for name, p in trainer._trained.parameters.items()}
    assert len(found) == 2 * 7 * 2  # A and B of seven matrices in two layers
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_saved_folder_is_an_adapter_that_peft_reads(tiny_folder: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    trainer = adapter_on(tiny_folder, steps=2)
    trainer.save(tmp_path, optimizer=True)
    assert {file.name for file in tmp_path.iterdir()} == {
        ADAPTER_CONFIG, ADAPTER_FILE, "optimizer.pt", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    config = json.loads((tmp_path / ADAPTER_CONFIG).read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (4, 8, sorted(LORA.targets))
    model = AutoPeftModelForCausalLM.from_pretrained(str(tmp_path))
    row = rows()[0]
    tokens = torch.from_numpy(row.tokens.astype(np.int64))[None]
    with torch.no_grad():
        logp = torch.log_softmax(model(input_ids=tokens).logits[0, :-1], -1)
    expected = logp[torch.arange(tokens.shape[1] - 1), tokens[0, 1:]].numpy()
    np.testing.assert_allclose(trainer.logprobs([row])[0][1:], expected, atol=1e-5)


def test_the_reference_is_the_adapter_of_that_moment_or_the_base(tiny_folder: Path) -> None:
    trainer = adapter_on(tiny_folder, steps=1)
    batch = Batch(rows(seed=5), kl=0.5)
    trainer.set_reference()
    assert trainer.forward_backward(batch).kl == pytest.approx(0.0, abs=1e-6)
    trainer.discard()
    own = weights_of(trainer)
    trainer.set_reference(tiny_folder)
    base, present = (t.logprobs(batch.rows) for t in (LocalTrainer(tiny_folder), trainer))
    expected = 0.0
    for row, r, p in zip(batch.rows, base, present, strict=True):
        gap = (r - p)[row.weight > 0].astype(np.float64)
        expected += float((np.exp(gap) - gap - 1).sum())
    assert expected > 1e-3
    assert trainer.forward_backward(batch).kl == pytest.approx(expected, rel=1e-3)
    assert same(weights_of(trainer), own)


def test_among_some_tokens_an_adapter_is_held_against_the_base_model_on_those_that_it_keeps(
    tiny_folder: Path, tmp_path: Path
) -> None:
    from peft import PeftModel

    drawn = Distribution(top_p=0.8, top_k=20)
    trainer = adapter_on(tiny_folder, steps=2, drawn=drawn)
    trainer.save(tmp_path, optimizer=False)
    trainer.set_reference(tiny_folder)
    oracle = PeftModel.from_pretrained(load_model(tiny_folder), str(tmp_path), is_trainable=True)
    batch, own = Batch(rows(seed=9), kl=0.5), weights_of(trainer)
    expected = plain_loss(oracle, batch, reference=load_model(tiny_folder), drawn=drawn)
    expected.backward()  # type: ignore[no-untyped-call]
    assert trainer.forward_backward(batch).loss == pytest.approx(float(expected.detach()), abs=1e-4)
    assert same(weights_of(trainer), own)
    norm = float(nn.utils.clip_grad_norm_(oracle.parameters(), 1e9))
    assert trainer.step(0.0) == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize("steps", [0, 2])
def test_training_of_an_adapter_goes_on_byte_for_byte(steps: int, tiny_folder: Path, tmp_path: Path) -> None:
    one = adapter_on(tiny_folder, steps, weight_decay=0.1)
    one.save(tmp_path / "state", optimizer=True)
    one.save(tmp_path / "checkpoint", optimizer=True)
    two = adapter_on(tiny_folder, 1, lr=0.5, weight_decay=0.1, seed=7)  # what it did before leaves no trace
    two.load(tmp_path / "state", optimizer=True)
    three = adapter_on(tiny_folder, weight_decay=0.1, seed=8)
    set_weights(three, weights_of(one))
    three.load_optimizer(tmp_path / "checkpoint")
    for name, trainer in (("one", one), ("two", two), ("three", three)):
        train(trainer, 2)
        trainer.save(tmp_path / name, optimizer=True)
    for file in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / file.name).read_bytes() == file.read_bytes(), file.name
        assert (tmp_path / "three" / file.name).read_bytes() == file.read_bytes(), file.name
    assert same(weights_of(one), weights_of(three))


def answer(sampler: LocalSampler, policy: str) -> Trajectory:
    """Two turns of the sampler with tokens of somebody else in the middle."""

    def until_pause() -> Completion:
        while True:
            for done in sampler.step():
                return done

    prompt, seen = np.array([1, 2, 3], np.int32), np.array([7, 8, 9], np.int32)
    sampler.submit(SampleRequest(0, prompt, Sampling(max_tokens=60, stop=tuple("abcdefghij")), seed=3))
    first = until_pause()
    sampler.extend(0, seen)
    second = until_pause()
    if sampler.active or 0 in sampler._slot_of:
        sampler.release(0)
    tokens = np.concatenate([first.tokens, seen, second.tokens])
    logp = np.concatenate([first.logprobs, np.zeros(3, np.float32), second.logprobs])
    mask = np.ones(len(tokens), np.bool_)
    mask[len(first.tokens) : len(first.tokens) + 3] = False
    return Trajectory(
        "t", 0, prompt, tokens, mask, logp, "", (), None, StopReason.EOS, policy, (sampler.policy_version,), "c"
    )


def test_a_sampler_with_adapters_beside_the_matrices_shares_the_trainers_base(tiny_folder: Path) -> None:
    trainer, sampler = adapter_on(tiny_folder), LocalSampler(tiny_folder, static=True, lora=LORA)
    mine = {name: value for name, value in trainer.model.named_parameters() if "lora_" not in name}
    assert all(mine[name] is value for name, value in sampler.model.named_parameters() if "lora_" not in name)


@pytest.mark.parametrize("static", [False, True], ids=["merged", "beside"])
def test_a_stale_adapter_is_caught(tiny_folder: Path, static: bool) -> None:
    trainer, sampler = adapter_on(tiny_folder, steps=2), LocalSampler(tiny_folder, static=static, lora=LORA)
    policy = Policy("solver-1", trainer, tolerance=1e-5, guard=UpdateGuard(20.0, 5))
    weights = policy.weights()
    assert weights.source.adapter
    sampler.load_weights(weights)
    fresh = answer(sampler, "solver-1")
    assert 0 < fresh.mask.sum() < len(fresh.tokens)
    assert policy.check_logprobs([fresh]) < 1e-5
    policy.update([Batch(rows(seed=4))], [1e-2])
    stale = replace(answer(sampler, "solver-1"), policy_versions=(1,))  # says that it has the new weights
    with pytest.raises(EngineError, match="sampler and trainer disagree"):
        policy.check_logprobs([stale])
    sampler.load_weights(policy.weights())
    policy.check_logprobs([answer(sampler, "solver-1")])


def test_a_sampler_without_an_adapter_is_the_base_model(tiny_folder: Path) -> None:
    plain, sampler = LocalSampler(tiny_folder), LocalSampler(tiny_folder, lora=LORA)
    expected = answer(plain, "base")
    sampler.load_weights(adapter_on(tiny_folder, 2).snapshot("solver-1", 1))
    assert answer(sampler, "base").logprobs.tobytes() != expected.logprobs.tobytes()
    sampler.load_weights(Snapshot("base", -1, Arrays({}, adapter=True)))
    found = answer(sampler, "base")
    assert found.tokens.tobytes() == expected.tokens.tobytes()
    np.testing.assert_allclose(found.logprobs, expected.logprobs, atol=1e-6)


def test_an_adapter_and_the_base_model_come_from_folders_as_from_memory(tiny_folder: Path, tmp_path: Path) -> None:
    trainer, sampler = adapter_on(tiny_folder, 2), LocalSampler(tiny_folder, lora=LORA)
    trainer.save(tmp_path, optimizer=True)
    pairs = [
        (trainer.snapshot("p", 1), Snapshot("p", 2, Folder(tmp_path, adapter=True))),
        (Snapshot("base", 3, Arrays({}, adapter=True)), Snapshot("base", 4, Folder(tiny_folder))),
    ]
    for pair in pairs:
        found = []
        for snapshot in pair:
            sampler.load_weights(snapshot)
            assert sampler.policy_version == snapshot.version
            done = answer(sampler, "p")
            found.append((done.tokens.tobytes(), done.logprobs.tobytes()))
        assert found[0] == found[1]
    with pytest.raises(EngineError, match="they are a whole model"):
        sampler.load_weights(Snapshot("p", 5, Folder(tmp_path)))


def test_whole_weights_and_adapters_are_not_mixed_up(tiny_folder: Path) -> None:
    whole, adapter = weights_of(LocalTrainer(tiny_folder)), weights_of(adapter_on(tiny_folder))
    with pytest.raises(EngineError, match="they are a whole model"):
        LocalSampler(tiny_folder, lora=LORA).load_weights(Snapshot("p", 1, Arrays(whole)))
    with pytest.raises(EngineError, match="they are an adapter"):
        LocalSampler(tiny_folder).load_weights(Snapshot("p", 1, Arrays(adapter, adapter=True)))
    fewer = {name: value for name, value in adapter.items() if "layers.0" in name}
    with pytest.raises(EngineError, match="other names"):
        LocalSampler(tiny_folder, lora=LORA).load_weights(Snapshot("p", 1, Arrays(fewer, adapter=True)))
    narrow = LocalTrainer(tiny_folder, lora=LORA.model_copy(update={"rank": 2}))
    with pytest.raises(EngineError, match="shape"):
        set_weights(narrow, adapter)


def test_a_base_in_bfloat16_has_an_adapter_in_float32(tiny_folder: Path) -> None:
    trainer, sampler = (
        adapter_on(tiny_folder, 2, dtype="bfloat16"),
        LocalSampler(tiny_folder, dtype="bfloat16", lora=LORA),
    )
    types = {("lora_" in name, value.dtype) for name, value in trainer.model.named_parameters()}
    assert types == {(True, torch.float32), (False, torch.bfloat16)}
    before = weights_of(trainer)
    train(trainer, 1, lr=1e-6)
    moved = {name: value for name, value in weights_of(trainer).items() if not np.array_equal(before[name], value)}
    assert len(moved) == len(before), "an update of 1e-6 is not lost"
    policy = Policy("p", trainer, tolerance=0.02, guard=UpdateGuard(20.0, 5))
    sampler.load_weights(policy.weights())
    policy.check_logprobs([answer(sampler, "p")])
    exact = adapter_on(tiny_folder)
    set_weights(exact, weights_of(trainer))
    for a, b in zip(trainer.logprobs(rows()), exact.logprobs(rows()), strict=True):
        np.testing.assert_allclose(a, b, atol=0.15)


def test_a_whole_model_in_bfloat16_trains_weights_in_float32(tiny_folder: Path) -> None:
    trainer = LocalTrainer(tiny_folder, dtype="bfloat16")
    assert {value.dtype for value in trainer.model.parameters()} == {torch.float32}
    before = weights_of(trainer)
    train(trainer, 1, lr=1e-6)
    for name, value in weights_of(trainer).items():
        assert not np.array_equal(before[name], value), name


def test_what_cannot_be_adapted_is_named(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'query'") as caught:
        LocalTrainer(tiny_folder, lora=LORA.model_copy(update={"targets": ["q_proj", "query"]}))
    assert "q_proj" in caught.value.fix
    monkeypatch.setattr("coevolve.engine.local.lora.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="peft") as caught:
        adapter_on(tiny_folder)
    assert "coevolve[lora]" in caught.value.fix
