"""A policy's updates on the real base model: the broken ones leave no trace, and too many of them end the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coevolve.config.acting import Distribution
from coevolve.engine.base import Completion, SampleRequest, Sampling
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.errors import EngineError
from coevolve.learning.guard import UpdateGuard
from coevolve.methods.metrics import train_facts
from coevolve.rollout.policy import Policy
from coevolve.store.manifest import Cursor
from coevolve.types import Batch, StopReason, TrainRow, Trajectory
from coevolve.worlds.miniature.learner import ASSETS

Make = Callable[..., tuple[Policy, LocalTrainer]]


@pytest.fixture
def make() -> Make:
    def policy(explosion: float = 5.0, max_skipped: int = 3) -> tuple[Policy, LocalTrainer]:
        trainer = LocalTrainer(ASSETS)
        return Policy("solver-2", trainer, tolerance=1e-5, guard=UpdateGuard(explosion, max_skipped)), trainer

    return policy


def test_where_tokens_are_left_out_one_in_a_hundred_may_lie_on_the_other_side_of_the_bound() -> None:
    drawn = Distribution(top_p=0.9)
    trainer, sampler = LocalTrainer(ASSETS, drawn=drawn), LocalSampler(ASSETS)
    sampler.load_weights(trainer.snapshot("solver-2", 0))
    prompt = np.array([20, 21, 22], np.int32)
    for i in range(4):
        sampler.submit(SampleRequest(i, prompt, Sampling(top_p=0.9, max_tokens=30), seed=i))
    done: list[Completion] = []
    while sampler.active:
        done += sampler.step()

    def drawn_texts(off: float) -> list[Trajectory]:
        texts = []
        for c in done:
            logp = c.logprobs.copy()
            logp[0] += off if c.id == 0 else 0
            mask = np.ones(len(c.tokens), bool)
            played = ("t", 0, prompt, c.tokens, mask, logp, "", (), None, StopReason.EOS, "solver-2", (0,), "c")
            texts.append(Trajectory(*played))
        return texts

    for truncated in (True, False):
        guard = UpdateGuard(5.0, 3)
        policy = Policy("solver-2", trainer, tolerance=1e-5, guard=guard, truncated=truncated)
        assert policy.check_logprobs(drawn_texts(0.0)) < 1e-4
        if truncated:
            assert policy.check_logprobs(drawn_texts(0.3)) < 1e-4
        else:
            with pytest.raises(EngineError, match="sampler and trainer disagree"):
                policy.check_logprobs(drawn_texts(0.3))


def rows(trainer: LocalTrainer, scale: float = 1.0, count: int = 3) -> tuple[TrainRow, ...]:
    """Rows on the policy's own log-probabilities; the gradient is proportional to ``scale``."""
    draw = np.random.default_rng(3)
    made = []
    for _ in range(count):
        length = 12
        ones = np.ones(length, np.float32)
        weight = np.where(np.arange(length) < 3, 0, 1 / (9 * count)).astype(np.float32)
        tokens = draw.integers(5, 60, length).astype(np.int32)
        made.append(
            TrainRow(tokens, 0 * ones, scale * ones * draw.choice([-1, 1]), 0.2 * ones, 0.2 * ones, weight, 0 * ones)
        )
    logp = trainer.logprobs(made)
    return tuple(replace(row, old_logp=p) for row, p in zip(made, logp, strict=True))


def state(trainer: LocalTrainer) -> list[np.ndarray]:
    """Every number that an update moves: weights, both moments of AdamW, and its step counts."""
    moments = trainer._optimizer.state_dict()["state"]
    optimiser = [value.numpy().copy() for one in moments.values() for value in one.values()]
    return [*trainer.snapshot("p", 0).source.weights.values(), *optimiser]


def equal(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def warmed(make: Make, **guard: float) -> tuple[Policy, LocalTrainer]:
    """A policy after five ordinary updates, so that its optimiser holds something."""
    policy, trainer = make(**guard)
    for _ in range(5):
        policy.update([Batch(rows(trainer))], [1e-4])
    return policy, trainer


def poisoned(trainer: LocalTrainer, stream: str, value: float) -> tuple[TrainRow, ...]:
    first, *others = rows(trainer)
    values = getattr(first, stream).copy()
    values[-1] = value
    return (replace(first, **{stream: values}), *others)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("stream", ["advantage", "old_logp", "weight"])
def test_a_number_that_is_none_leaves_weights_and_optimiser_bit_identical(
    stream: str, value: float, make: Make
) -> None:
    policy, trainer = warmed(make)
    before = state(trainer)
    (stats,) = policy.update([Batch(poisoned(trainer, stream, value))], [1e-2])
    assert stats.skipped
    assert equal(state(trainer), before)
    (stats,) = policy.update([Batch(rows(trainer))], [1e-4])
    assert not stats.skipped
    assert not equal(state(trainer), before)


def test_a_broken_row_that_teaches_nothing_is_found_as_well(make: Make) -> None:
    policy, trainer = warmed(make)
    silent = tuple(replace(row, advantage=0 * row.advantage) for row in poisoned(trainer, "old_logp", math.nan))
    assert policy.update([Batch(silent)], [1e-4])[0].skipped


def test_a_batch_without_any_advantage_costs_nothing_and_moves_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, trainer = warmed(make)
    flat = Batch(rows(trainer, scale=0.0))
    before, extra = state(trainer), policy.extra_state()
    with monkeypatch.context() as patch:
        for name in ("forward_backward", "step", "discard"):
            patch.setattr(trainer, name, None)
        (stats,) = policy.update([flat], [1e-3])
    assert (stats.idle, stats.skipped, stats.tokens, stats.grad_norm) == (True, False, 0, 0.0)
    assert equal(state(trainer), before)
    assert policy.extra_state() == extra | {"version": policy.version}
    assert train_facts([stats], 0.0)["idle_updates"] == 1
    assert "idle_updates" not in train_facts(policy.update([Batch(rows(trainer))], [1e-4]), 0.0)
    assert replace(flat, kl=0.1).teaches


def test_an_explosion_is_left_out_and_the_rest_of_the_batch_is_not(make: Make) -> None:
    policy, trainer = warmed(make)
    other, untouched = warmed(make)
    assert equal(state(trainer), state(untouched))
    quiet, loud = Batch(rows(trainer)), Batch(rows(trainer, scale=100.0))
    stats = policy.update([quiet, loud, quiet], [1e-4] * 3)
    assert [s.skipped for s in stats] == [False, True, False]
    assert stats[1].grad_norm > 5 * stats[0].grad_norm
    other.update([quiet, quiet], [1e-4] * 2)
    assert equal(state(trainer), state(untouched)), "as if it had never been there"


def test_an_explosion_may_happen_when_the_guard_is_off(make: Make) -> None:
    policy, trainer = warmed(make, explosion=0.0)
    before = state(trainer)
    (stats,) = policy.update([Batch(rows(trainer, scale=1000.0))], [1e-4])
    assert not stats.skipped
    assert not equal(state(trainer), before)


def test_a_gradient_that_overflows_is_left_out(make: Make) -> None:
    policy, trainer = warmed(make, explosion=0.0)
    before = state(trainer)
    (stats,) = policy.update([Batch(rows(trainer, scale=1e37))], [1e-4])
    assert (stats.skipped, math.isfinite(stats.grad_norm)) == (True, False)
    assert equal(state(trainer), before)


def test_too_many_in_a_row_stop_the_run_and_say_where(make: Make) -> None:
    policy, trainer = warmed(make, max_skipped=3)
    before = state(trainer)
    broken, good = Batch(poisoned(trainer, "advantage", math.nan)), Batch(rows(trainer))
    policy.update([broken, broken], [1e-4] * 2)
    policy.update([good, broken, broken], [1e-4] * 3)
    assert not equal(state(trainer), before)
    before = state(trainer)
    with pytest.raises(EngineError, match="3 updates in a row") as caught:
        policy.update([broken], [1e-4])
    assert "solver-2, step 8" in caught.value.where
    assert "an advantage is not a finite number" in caught.value.what
    assert equal(state(trainer), before)


def test_a_policy_whose_weights_are_broken_is_found_before_it_teaches(make: Make) -> None:
    policy, trainer = make()
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(math.nan)
    tokens = np.arange(5, 9, dtype=np.int32)
    written = Trajectory(
        "t", 0, tokens, tokens, np.ones(4, np.bool_), np.full(4, np.nan, np.float32), "", (), None, StopReason.EOS,
        "solver-2", (0,), "c",
    )  # fmt: skip
    with pytest.raises(EngineError, match="not numbers") as caught:
        policy.check_logprobs([written])
    assert "solver-2" in caught.value.where


def test_a_policy_taken_up_judges_explosions_by_the_norms_before(make: Make, tmp_path: Path) -> None:
    policy, trainer = warmed(make)
    policy.update([Batch(poisoned(trainer, "advantage", math.nan))], [1e-4])
    policy.save_state(tmp_path / "state")
    cursor = Cursor(phase="p", metrics_bytes=0, metrics_sha256="", memory=policy.extra_state())
    stored = Cursor.model_validate_json(cursor.model_dump_json())
    other, _ = make()
    other.load_state(tmp_path / "state", stored.memory)
    assert other.guard == policy.guard
    assert len(other.guard.norms) == 5
    assert (other.guard.skipped_in_row, other.version) == (1, 6)


def test_a_policy_taken_up_has_the_numbers_that_its_phase_kept(make: Make, tmp_path: Path) -> None:
    policy, _ = make()
    assert "numbers" not in policy.extra_state()
    policy.numbers["tic-tac-toe 0"] = 0.1 + 0.2
    policy.save_state(tmp_path / "state")
    cursor = Cursor(phase="p", metrics_bytes=0, metrics_sha256="", memory=policy.extra_state())
    other, _ = make()
    other.load_state(tmp_path / "state", Cursor.model_validate_json(cursor.model_dump_json()).memory)
    assert other.numbers == policy.numbers
    other.numbers["tic-tac-toe 0"] = 1.0
    assert policy.numbers == {"tic-tac-toe 0": 0.1 + 0.2}
