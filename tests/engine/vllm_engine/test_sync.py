"""Weights and adapters on their way into vLLM: exact, never piled up, and caught by the probe when they are stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from transformers import Qwen3ForCausalLM

from coevolve.engine.base import Arrays, Completion, SampleRequest, Sampling, Snapshot
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.vllm.sampler import VllmSampler
from coevolve.errors import EngineError
from coevolve.learning.guard import UpdateGuard
from coevolve.rollout.policy import Policy
from coevolve.types import Batch, Floats, StopReason, TrainRow, Trajectory

from .tiny import WORDS, finish, forward, prompt, weights_of, write_model

pytestmark = pytest.mark.vllm
Opened = Callable[..., VllmSampler]
PROMPT = prompt(4, 5, 6)


def sampled(sampler: VllmSampler, n: int = 6) -> list[Completion]:
    for i in range(n):
        sampler.submit(SampleRequest(i, PROMPT, Sampling(max_tokens=40), seed=i))
    return [c for _, c in sorted(finish(sampler).items())]


def gap(sampler: VllmSampler, folder: Path, weights: Snapshot) -> float:
    """Largest distance of the sampler's log-probabilities from the plain forward pass of these weights."""
    gaps = [
        np.abs(c.logprobs - forward(folder, np.concatenate([PROMPT, c.tokens]), weights)[len(PROMPT) - 1 :]).max()
        for c in sampled(sampler)
    ]
    return float(max(gaps))


def shaken(seed: int) -> Callable[[str, Floats], Floats]:
    """Moves every matrix and norm a little, each in its own way."""
    draw = np.random.default_rng(seed)
    return lambda name, value: (value * (1 + 0.3 * draw.standard_normal(value.shape))).astype(np.float32)


@pytest.mark.parametrize("kind", ["untied", "tied"])
def test_pushed_weights_are_decoded_with_and_no_others(
    kind: str, opened: Opened, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    sampler = opened(folder)
    first = weights_of(folder)
    assert gap(sampler, folder, first) < 1e-4
    for version in (1, 2):
        changed = weights_of(folder, version=version, change=shaken(version))
        if kind == "tied":  # one matrix, under two names
            changed.source.weights["lm_head.weight"] = changed.source.weights["model.embed_tokens.weight"]  # type: ignore[index]
        sampler.load_weights(changed)
        assert sampler.policy_version == version
        assert gap(sampler, folder, changed) < 1e-4
        assert gap(sampler, folder, first) > 0.1
    before = [c.tokens.tolist() for c in sampled(sampler)]
    sampler.release_memory()
    assert [c.tokens.tolist() for c in sampled(sampler)] == before
    sampler.load_weights(first)
    assert gap(sampler, folder, first) < 1e-4


def test_a_tied_head_is_pushed_with_its_embedding_when_only_that_is_named(opened: Opened, tied: Path) -> None:
    changed = weights_of(tied, version=1, change=shaken(5))
    alone = {n: w for n, w in changed.source.weights.items() if n != "lm_head.weight"}
    sampler = opened(tied)
    sampler.load_weights(Snapshot("p", 1, Arrays(alone)))
    both = Snapshot("p", 1, Arrays(alone | {"lm_head.weight": alone["model.embed_tokens.weight"]}))
    assert gap(sampler, tied, both) < 1e-4


def test_weights_that_do_not_fit_are_refused_and_change_nothing(opened: Opened, untied: Path) -> None:
    sampler = opened(untied)
    own = weights_of(untied, version=1, change=shaken(1))
    less = {n: w for n, w in own.source.weights.items() if n != "model.layers.1.mlp.up_proj.weight"}
    with pytest.raises(EngineError, match=r"do not fit[^$]*up_proj"):
        sampler.load_weights(Snapshot("p", 1, Arrays(less)))
    with pytest.raises(EngineError, match=r"do not fit[^$]*nothing"):
        sampler.load_weights(Snapshot("p", 1, Arrays({**own.source.weights, "nothing": np.zeros(3, np.float32)})))
    cut = {**own.source.weights, "lm_head.weight": own.source.weights["lm_head.weight"][:9]}
    with pytest.raises(EngineError, match=r"do not fit[^$]*lm_head"):
        sampler.load_weights(Snapshot("p", 1, Arrays(cut)))
    with pytest.raises(EngineError, match="without adapters"):
        sampler.load_weights(Snapshot("p", 1, Arrays({}, adapter=True)))
    sampler.submit(SampleRequest(0, PROMPT, Sampling(max_tokens=5), seed=0))
    with pytest.raises(EngineError, match="still decodes"):
        sampler.load_weights(own)
    finish(sampler)
    assert sampler.policy_version == 0
    assert gap(sampler, untied, weights_of(untied)) < 1e-4


def trajectories(sampler: VllmSampler, name: str) -> list[Trajectory]:
    """What the sampler wrote, as the probe wants it."""
    return [
        Trajectory(
            task_id=f"t{c.id}", sample=0, prompt=PROMPT, tokens=c.tokens, mask=np.ones(len(c.tokens), bool),
            logprobs=c.logprobs, text="", tool_calls=(), answer=None, stop=StopReason.LENGTH, policy=name,
            policy_versions=(sampler.policy_version,), contract="",
        )
        for c in sampled(sampler)
    ]  # fmt: skip


def trained(trainer: LocalTrainer, policy: Policy) -> None:
    """One real update, large enough to be seen."""
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(4):
        ones = np.ones(20, np.float32)
        weight = np.where(np.arange(20) < 1, 0, 1 / 76).astype(np.float32)
        rows.append(
            TrainRow(draw.integers(1, 60, 20).astype(np.int32), 0 * ones, ones, 9 * ones, 9 * ones, weight, 0 * ones)
        )
    logp = trainer.logprobs(rows)
    policy.update(
        [Batch(tuple(replace(row, old_logp=own) for row, own in zip(rows, logp, strict=True)))],
        [1e-2],
    )


@pytest.mark.parametrize("kind", ["untied", "tied"])
def test_the_probe_passes_after_a_sync_and_catches_weights_that_are_stale(
    kind: str, opened: Opened, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    sampler, trainer = opened(folder), LocalTrainer(folder)
    policy = Policy("p", trainer, tolerance=1e-5, guard=UpdateGuard(0.0, 5))
    sampler.load_weights(policy.weights())
    assert policy.check_logprobs(trajectories(sampler, "p")) < 1e-3
    trained(trainer, policy)
    with pytest.raises(EngineError, match="stale weights"):
        policy.check_logprobs(trajectories(sampler, "p"))
    fresh = policy.weights()
    sampler.load_weights(fresh)
    assert policy.check_logprobs(trajectories(sampler, "p")) < 1e-3
    # A sync that says it is of this version and leaves one matrix as it was.
    trained(trainer, policy)
    newest = policy.weights()
    name = "lm_head.weight" if kind == "tied" else "model.layers.0.self_attn.o_proj.weight"
    sampler.load_weights(
        Snapshot("p", policy.version, Arrays({**newest.source.weights, name: fresh.source.weights[name]}))
    )
    with pytest.raises(EngineError, match="sampler and trainer disagree"):
        policy.check_logprobs(trajectories(sampler, "p"))


@pytest.mark.parametrize("sections", [{}, {"lora": {"enabled": True, "rank": 4}}])
def test_rows_that_pad_the_matrix_are_never_drawn_and_have_no_share(
    sections: dict[str, dict[str, object]], opened: Opened, tmp_path: Path
) -> None:
    folder = write_model(tmp_path, tied=False, padding=192)  # three of four rows, as likely as the others
    sampler, local = opened(folder, **sections), LocalSampler(folder)
    both = []
    for s in (sampler, local):
        for i in range(8):
            temperature = 0.0 if i < 4 else 1.0
            s.submit(SampleRequest(i, prompt(4 + i), Sampling(temperature, max_tokens=40), seed=i))
        both.append([c for _, c in sorted(finish(s).items())])
    for a, b in zip(*both, strict=True):
        assert max(*a.tokens, *b.tokens) < len(WORDS)
        if a.id < 4:
            np.testing.assert_array_equal(a.tokens, b.tokens)
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
    trainer = LocalTrainer(folder)
    for c in both[0]:
        tokens = np.concatenate([prompt(4 + c.id), c.tokens])
        zeros, ones = np.zeros(len(tokens), np.float32), np.ones(len(tokens), np.float32)
        own = trainer.logprobs([TrainRow(tokens, zeros, ones, ones, ones, ones, zeros)])[0][1:]
        np.testing.assert_allclose(c.logprobs, own, atol=1e-4)


LORA = {"enabled": True, "rank": 4, "alpha": 8}


def adapted(folder: Path, seed: int, version: int) -> tuple[Snapshot, Snapshot]:
    """An adapter that peft itself made, and the whole weights that peft itself merged from it."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    peft = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM"))
    for name, p in peft.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(p, std=0.1)
    matrices = {n: v.numpy().copy() for n, v in get_peft_model_state_dict(peft).items()}
    merged = {n: v.detach().numpy().copy() for n, v in peft.merge_and_unload().state_dict().items()}
    return Snapshot("p", version, Arrays(matrices, adapter=True)), Snapshot("p", version, Arrays(merged))


def test_adapters_are_decoded_with_replace_each_other_and_none_is_the_base_model(opened: Opened, untied: Path) -> None:
    sampler = opened(untied, lora=LORA)
    base = weights_of(untied)
    assert gap(sampler, untied, base) < 1e-4
    for version in range(1, 5):
        adapter, merged = adapted(untied, version, version)
        sampler.load_weights(adapter)
        assert sampler.policy_version == version
        assert gap(sampler, untied, merged) < 1e-4
        assert gap(sampler, untied, base) > 0.1
        assert len(sampler._engine.list_loras()) == 1
    before = [c.tokens.tolist() for c in sampled(sampler)]
    sampler.release_memory()
    assert [c.tokens.tolist() for c in sampled(sampler)] == before
    sampler.load_weights(Snapshot("base", 9, Arrays({}, adapter=True)))
    assert gap(sampler, untied, base) < 1e-4
    assert not sampler._engine.list_loras()


def test_whole_weights_and_matrices_of_no_adapter_are_refused_by_a_sampler_of_adapters(
    opened: Opened, untied: Path
) -> None:
    sampler = opened(untied, lora=LORA)
    with pytest.raises(EngineError, match="with adapters"):
        sampler.load_weights(weights_of(untied))
    with pytest.raises(EngineError, match=r"no such tensor[^$]*lm_head"):
        sampler.load_weights(Snapshot("p", 1, Arrays({"lm_head.weight": np.zeros((2, 2), np.float32)}, adapter=True)))
    adapter, _ = adapted(untied, 0, 1)
    mixed = {n: (w[:2] if "0.mlp.up_proj.lora_A" in n else w) for n, w in adapter.source.weights.items()}
    with pytest.raises(EngineError, match=r"of rank 4[^$]*up_proj"):
        sampler.load_weights(Snapshot("p", 1, Arrays(mixed, adapter=True)))
    sampler.load_weights(adapter)
    assert sampler.policy_version == 1


def test_a_stale_adapter_is_caught(opened: Opened, untied: Path, tmp_path: Path) -> None:
    sampler = opened(untied, lora=LORA)
    old, _ = adapted(untied, 1, 1)
    _, merged = adapted(untied, 2, 2)
    model = Qwen3ForCausalLM.from_pretrained(untied, dtype=torch.float32)
    model.load_state_dict({n: torch.from_numpy(w) for n, w in merged.source.weights.items()})  # type: ignore[arg-type]
    model.save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((untied / file).read_bytes())
    policy = Policy("p", LocalTrainer(tmp_path), tolerance=1e-5, guard=UpdateGuard(0.0, 5))
    policy.version = 2
    sampler.load_weights(
        Snapshot("p", 2, Arrays(old.source.weights, adapter=True))
    )  # the version of the new, the old matrices
    with pytest.raises(EngineError, match="sampler and trainer disagree"):
        policy.check_logprobs(trajectories(sampler, "p"))
