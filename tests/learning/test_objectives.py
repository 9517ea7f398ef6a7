"""The clipped objective against loops, finite differences and the identities it must keep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from coevolve.learning.advantages import adpo_clip_high, adpo_scale, group_relative
from coevolve.learning.objectives import clipped_policy_loss, k3, kl_term
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


def dual_loss(ratio: list[float], advantage: list[float], c: float | None) -> tuple[Tensor, list[float], int]:
    """The loss of tokens of weight 1 with bounds of 0.2 and 0.3, its gradient by token, and the dual-clipped ones."""
    logp = torch.tensor(ratio, dtype=torch.float64).log().requires_grad_(True)
    ones = torch.ones(len(ratio), dtype=torch.float64)
    loss, stats = clipped_policy_loss(
        logp,
        torch.zeros_like(ones),
        advantage=torch.tensor(advantage, dtype=torch.float64),
        clip_low=0.2 * ones,
        clip_high=0.3 * ones,
        weight=ones,
        dual_clip=c,
    )
    (gradient,) = torch.autograd.grad(loss, logp)
    return loss.detach(), gradient.tolist(), int(stats.clipped_dual.sum())


def test_the_dual_clip_bounds_what_a_token_with_a_negative_advantage_can_weigh() -> None:
    # A = -2, c = 3: -A r up to r = 3, from there on -A c and no gradient; below 1 - 0.2 as without it.
    for r, expected, slope in ((0.5, 1.6, 0.0), (1.0, 2.0, 2.0), (2.9, 5.8, 5.8), (3.1, 6.0, 0.0), (50.0, 6.0, 0.0)):
        loss, gradient, clipped = dual_loss([r], [-2.0], 3.0)
        assert loss.item() == pytest.approx(expected, rel=1e-12)
        assert gradient[0] == pytest.approx(slope, rel=1e-12)
        assert clipped == (r > 3)


def test_the_dual_clip_leaves_positive_advantages_and_small_ratios_as_they_are() -> None:
    ratio, advantage = [0.1, 0.7, 1.0, 1.2, 2.0, 9.0, 0.1, 0.9, 2.9], [1.0] * 6 + [-1.0] * 3
    assert dual_loss(ratio, advantage, 3.0) == dual_loss(ratio, advantage, None)
    rng = np.random.default_rng(7)
    parts, (old, logp) = streams(rng, 0.6, 0.1), policies(rng, 0.3)
    assert float((logp - old).exp().max()) < 5
    assert torch.equal(*(clipped_policy_loss(logp, old, **parts, dual_clip=c)[0] for c in (5.0, None)))


# Divergences over five tokens, where everything is a sum: expectations and the gradients of both directions by logits.
POLICY = torch.tensor([1.2, -0.3, 0.4, -1.0, 0.1], dtype=torch.float64)
OLD = torch.tensor([0.9, 0.2, 0.1, -0.6, 0.3], dtype=torch.float64)
REFERENCE = torch.tensor([-0.2, 0.8, 0.3, 0.5, -1.1], dtype=torch.float64)


def divergence_gradient(forward: bool) -> Tensor:
    """Of KL(reference || policy) if ``forward``, else of KL(policy || reference), by the logits of the policy."""
    logits = POLICY.clone().requires_grad_(True)
    logp, ref = logits.log_softmax(0), REFERENCE.log_softmax(0)
    divergence = (ref.exp() * (ref - logp)).sum() if forward else (logp.exp() * (logp - ref)).sum()
    (gradient,) = torch.autograd.grad(divergence, logits)
    return gradient


def expected_gradient(term: Callable[[Tensor, Tensor, Tensor], Tensor], sampler: Tensor) -> Tensor:
    """Over tokens of the sampler: the mean gradient of a term that takes the token as given."""
    total = torch.zeros_like(POLICY)
    for token, probability in enumerate(sampler.softmax(0)):
        logits = POLICY.clone().requires_grad_(True)
        own, old, ref = (x.log_softmax(0)[token] for x in (logits, sampler, REFERENCE))
        (gradient,) = torch.autograd.grad(term(own, old, ref), logits)
        total += probability * gradient
    return total


def test_the_gradient_of_k3_is_that_of_the_reverse_of_what_it_estimates() -> None:
    found = expected_gradient(kl_term, POLICY)
    torch.testing.assert_close(found, divergence_gradient(forward=True), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found, POLICY.softmax(0) - REFERENCE.softmax(0), rtol=1e-12, atol=1e-14)
    assert not torch.allclose(found, divergence_gradient(forward=False), atol=0.01)


def test_the_gradient_of_k2_is_that_of_the_divergence_from_the_reference() -> None:
    found = expected_gradient(lambda *x: kl_term(*x, gradient="k2"), POLICY)
    torch.testing.assert_close(found, divergence_gradient(forward=False), rtol=1e-12, atol=1e-14)


def test_the_gradient_of_k1_is_zero() -> None:
    found = expected_gradient(lambda own, _, ref: own - ref, POLICY)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-15)


@pytest.mark.parametrize("sampler", [POLICY, OLD])
def test_k3_times_the_ratio_has_the_gradient_of_the_divergence_whoever_sampled(sampler: Tensor) -> None:
    found = expected_gradient(lambda *x: kl_term(*x, gradient="corrected"), sampler)
    torch.testing.assert_close(found, divergence_gradient(forward=False), rtol=1e-12, atol=1e-14)
    if sampler is OLD:
        for gradient in ("k2", "k3"):
            plain = expected_gradient(lambda *x, g=gradient: kl_term(*x, gradient=g), OLD)
            assert not torch.allclose(plain, divergence_gradient(forward=False), atol=0.01)
            assert not torch.allclose(plain, divergence_gradient(forward=True), atol=0.01)


def test_k1_and_k3_estimate_the_divergence_from_the_reference_and_k2_does_not() -> None:
    own, ref = POLICY.log_softmax(0), REFERENCE.log_softmax(0)
    divergence = (own.exp() * (own - ref)).sum()
    means = [(own.exp() * x).sum() for x in (own - ref, kl_term(own, own, ref, "k2"), k3(own, ref))]
    torch.testing.assert_close(means[0], divergence)
    torch.testing.assert_close(means[2], divergence)
    assert abs(means[1] - divergence) > 0.05
    torch.testing.assert_close((own.exp() * kl_term(own, own, ref, "corrected")).sum(), divergence)
