"""The clipped objective against loops, finite differences and the identities it must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from coevolve.learning.advantages import adpo_clip_high, adpo_scale, group_relative
from coevolve.learning.objectives import clipped_policy_loss, k3
from coevolve.learning.rows import token_weights

P_HAT = np.array([0.3, 0.5, 0.8])  # of three tasks with four trajectories of five tokens each
SHAPE = (12, 5)


def streams(rng: np.random.Generator, floor: float, extra: float) -> dict[str, Tensor]:
    """Per-token streams of a batch as ADPO stamps them."""
    rewards = np.array([[1, 0, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0]])
    advantage = np.stack([group_relative(row) for row in rewards]) * adpo_scale(P_HAT, floor=floor)[:, None]
    high = np.repeat(adpo_clip_high(P_HAT, extra=extra), 4)
    mask = rng.random(SHAPE) < 0.8
    mask[:, 0] = True
    return {
        "advantage": torch.tensor(np.repeat(advantage.reshape(-1, 1), 5, axis=1)),
        "clip_low": torch.full(SHAPE, 0.2, dtype=torch.float64),
        "clip_high": torch.tensor(np.repeat(high[:, None], 5, axis=1)),
        "weight": torch.tensor(np.stack(token_weights(list(mask)))).double(),
    }


def policies(rng: np.random.Generator, off_policy: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the sampler and of a policy that has moved away from it."""
    old = np.log(rng.uniform(0.05, 0.95, SHAPE))
    return torch.tensor(old), torch.tensor(old + off_policy * rng.standard_normal(SHAPE))


def loss_by_loops(logp: Tensor, old: Tensor, parts: dict[str, Tensor]) -> float:
    """The formula, one token at a time."""
    total = 0.0
    for index in np.ndindex(SHAPE):
        a = parts["advantage"][index].item()
        r = float(np.exp(logp[index].item() - old[index].item()))
        bounded = min(max(r, 1 - parts["clip_low"][index].item()), 1 + parts["clip_high"][index].item())
        total -= parts["weight"][index].item() * min(r * a, bounded * a)
    return total


def test_the_loss_is_the_formula() -> None:
    rng = np.random.default_rng(1)
    parts, (old, logp) = streams(rng, 0.6, 0.1), policies(rng, 0.4)
    loss, _ = clipped_policy_loss(logp, old, **parts)
    assert loss.item() == pytest.approx(loss_by_loops(logp, old, parts), rel=1e-12)


def test_the_adpo_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(2)
    parts, (old, logp) = streams(rng, 0.6, 0.1), policies(rng, 0.4)
    logp.requires_grad_(True)
    loss, stats = clipped_policy_loss(logp, old, **parts)
    (gradient,) = torch.autograd.grad(loss, logp)
    assert min(stats.clipped_low.item(), stats.clipped_high.item()) > 0
    for index in np.ndindex(SHAPE):
        shifted = []
        for step in (1e-6, -1e-6):
            moved = logp.detach().clone()
            moved[index] += step
            shifted.append(loss_by_loops(moved, old, parts))
        assert gradient[index].item() == pytest.approx((shifted[0] - shifted[1]) / 2e-6, abs=1e-8)


def test_on_policy_the_gradient_is_the_plain_policy_gradient() -> None:
    rng = np.random.default_rng(3)
    parts, (old, logp) = streams(rng, 0.6, 0.1), policies(rng, 0.0)
    logp.requires_grad_(True)
    loss, _ = clipped_policy_loss(logp, old, **parts)
    (gradient,) = torch.autograd.grad(loss, logp)
    torch.testing.assert_close(gradient, -parts["weight"] * parts["advantage"], rtol=1e-12, atol=0)


def test_adpo_with_unit_scale_and_constant_clip_is_grpo_to_the_last_bit() -> None:
    rng = np.random.default_rng(4)
    adpo, (old, logp) = streams(rng, 1.0, 0.0), policies(rng, 0.4)
    rewards = np.array([[1, 0, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0]])
    grpo = adpo | {
        "advantage": torch.tensor(np.stack([group_relative(row) for row in rewards])).reshape(-1, 1).expand(SHAPE),
        "clip_high": torch.full(SHAPE, 0.2, dtype=torch.float64),
    }
    outcomes = []
    for parts in (adpo, grpo):
        moved = logp.clone().requires_grad_(True)
        loss, _ = clipped_policy_loss(moved, old, **parts)
        outcomes.append((loss, *torch.autograd.grad(loss, moved)))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert torch.equal(outcomes[0][1], outcomes[1][1])


def test_nothing_is_clipped_on_policy_and_something_is_off_policy_in_every_bin() -> None:
    rng = np.random.default_rng(5)
    parts = streams(rng, 0.6, 0.1)
    bins = torch.arange(3).repeat_interleave(4)[:, None].expand(SHAPE)
    for off_policy, clips in ((0.0, False), (1.0, True)):
        old, logp = policies(rng, off_policy)
        _, stats = clipped_policy_loss(logp, old, **parts, bins=bins, n_bins=3)
        assert ((stats.clipped_low + stats.clipped_high) > 0).tolist() == [clips] * 3


def test_counts_match_a_hand_made_case() -> None:
    ratio = torch.tensor([0.5, 0.5, 1.0, 1.25, 1.25, 9.0, 9.0], dtype=torch.float64)
    _, stats = clipped_policy_loss(
        ratio.log(),
        torch.zeros(7, dtype=torch.float64),
        advantage=torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0], dtype=torch.float64),
        clip_low=torch.full((7,), 0.2, dtype=torch.float64),
        clip_high=torch.tensor([0.2, 0.2, 0.2, 0.2, 0.3, 0.2, 0.2], dtype=torch.float64),
        weight=torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0], dtype=torch.float64),
        bins=torch.tensor([0, 0, 1, 1, 2, 2, 3]),
        n_bins=4,
    )
    assert stats.tokens.tolist() == [2, 2, 1, 1]
    assert stats.clipped_low.tolist() == [1, 0, 0, 0]
    assert stats.clipped_high.tolist() == [0, 1, 0, 0]
    torch.testing.assert_close(stats.ratio, torch.tensor([1.0, 2.25, 1.25, 9.0], dtype=torch.float64))


def test_micro_batches_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(6)
    parts, (old, logp) = streams(rng, 0.6, 0.1), policies(rng, 0.5)
    bins = torch.arange(3).repeat_interleave(4)[:, None].expand(SHAPE)
    whole, counts = clipped_policy_loss(logp, old, **parts, bins=bins, n_bins=3)
    halves = [
        clipped_policy_loss(
            logp[rows],
            old[rows],
            **{name: part[rows] for name, part in parts.items()},
            bins=bins[rows],
            n_bins=3,
        )
        for rows in (slice(0, 5), slice(5, 12))
    ]
    torch.testing.assert_close(halves[0][0] + halves[1][0], whole)
    added = halves[0][1] + halves[1][1]
    assert added.tokens.tolist() == counts.tokens.tolist()
    assert added.clipped_low.tolist() == counts.clipped_low.tolist()
    assert added.clipped_high.tolist() == counts.clipped_high.tolist()
    torch.testing.assert_close(added.ratio, counts.ratio)


def test_tokens_of_weight_zero_may_hold_anything() -> None:
    logp = torch.tensor([-1.0, float("nan"), -2.0], requires_grad=True)
    bound = torch.tensor([0.2, float("nan"), 0.2])
    advantage = torch.tensor([1.0, float("nan"), -1.0])
    weight = torch.tensor([0.5, 0.0, 0.5])
    loss, stats = clipped_policy_loss(logp, torch.tensor([-1.0, 0.0, -2.0]), advantage, bound, bound, weight)
    loss.backward()
    assert loss.item() == 0.0
    assert logp.grad is not None
    assert logp.grad.tolist() == [-0.5, 0.0, 0.5]
    assert stats.tokens.tolist() == [2]


def test_k3_is_the_expectation_of_the_divergence_and_never_negative() -> None:
    policy = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    reference = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
    estimate = k3(policy.log(), reference.log())
    divergence = (policy * (policy / reference).log()).sum()
    assert (estimate >= 0).all()
    torch.testing.assert_close((policy * estimate).sum(), divergence)
    assert k3(policy.log(), policy.log()).abs().max() == 0
