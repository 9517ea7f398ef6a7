"""The policy-gradient objective, per token, as sums that add up over micro-batches.

Names: r = exp(logp - old_logp), A = advantage. All tensors of a call have one shape, [N] or [B, T].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coevolve.types import KLGradient


@dataclass(frozen=True, slots=True)
class ClipStats:
    """Sums over the trained tokens, one entry per bin ([bins]); add the ClipStats of micro-batches."""

    tokens: Tensor  # int64, tokens with a weight above 0
    clipped_low: Tensor  # int64, tokens whose gradient the lower bound removed: A < 0 and r < 1 - clip_low
    clipped_high: Tensor  # int64, tokens whose gradient the upper bound removed: A > 0 and r > 1 + clip_high
    clipped_dual: Tensor  # int64, tokens whose gradient the dual clip removed: A < 0 and r > dual_clip
    ratio: Tensor  # sum of r, same floating type as logp

    def __add__(self, other: ClipStats) -> ClipStats:
        return ClipStats(
            self.tokens + other.tokens,
            self.clipped_low + other.clipped_low,
            self.clipped_high + other.clipped_high,
            self.clipped_dual + other.clipped_dual,
            self.ratio + other.ratio,
        )


def clipped_policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantage: Tensor,
    clip_low: Tensor,
    clip_high: Tensor,
    weight: Tensor,
    bins: Tensor | None = None,
    n_bins: int = 1,
    dual_clip: float | None = None,
) -> tuple[Tensor, ClipStats]:
    """- sum of weight * min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), to be minimised.

    Where A < 0 nothing bounds r from above: one token that the policy has made far more probable since may outweigh
    all others. With ``dual_clip`` = c the surrogate of such a token is at least c A: above r = c it has no gradient.

    The trainer does not know methods: GRPO, ADPO and others differ in what they write into ``advantage`` and
    the bounds.

    Source: PPO (arXiv 1707.06347), equation 7; Agent0 (arXiv 2511.16043), equation 8 for bounds that vary by
    task; Ye et al. (arXiv 1912.09729) for the dual clip.

    Args:
        logp: log-probabilities under the policy that is trained; the only input that gets a gradient.
        old_logp: log-probabilities under the policy that the ratio compares with.
        advantage: A of each token.
        clip_low: distance of the lower bound from 1, in [0, 1).
        clip_high: distance of the upper bound from 1, >= 0.
        weight: mask and normalisation, >= 0; where it is 0 the other tensors may hold anything, also NaN.
        bins: integers 0 ... n_bins - 1, the bin under which a token is counted; None counts all under bin 0.
        n_bins: number of bins.
        dual_clip: the largest ratio that counts where A < 0, above 1; None bounds nothing there.

    Returns:
        The loss, a scalar, and the counts.
    """
    active = weight > 0
    log_ratio = torch.where(active, logp - old_logp.detach(), 0.0)
    gain = torch.where(active, advantage, 0.0).detach()
    ratio = log_ratio.exp()
    bounded = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    surrogate = torch.where(active, torch.minimum(ratio * gain, bounded * gain), 0.0)
    if dual_clip is not None:
        surrogate = torch.where(gain < 0, torch.maximum(surrogate, dual_clip * gain), surrogate)
    loss = -(weight * surrogate).sum()
    with torch.no_grad():
        low = active & (gain < 0) & (ratio < 1.0 - clip_low)
        high = active & (gain > 0) & (ratio > 1.0 + clip_high)
        dual = active & (gain < 0) & (ratio > (torch.inf if dual_clip is None else dual_clip))
        chosen = (torch.zeros_like(ratio, dtype=torch.int64) if bins is None else bins.long()).flatten()
        # Sums by index, because to select by a mask a GPU must first tell how many were selected.
        counts = torch.zeros(4, n_bins, dtype=torch.int64, device=ratio.device)
        counts.index_add_(1, chosen, torch.stack([active, low, high, dual]).flatten(1).long())
        ratios = torch.zeros(n_bins, dtype=ratio.dtype, device=ratio.device)
        ratios.index_add_(0, chosen, torch.where(active, ratio, 0.0).flatten())
        tokens, clipped_low, clipped_high, clipped_dual = counts.unbind()
        stats = ClipStats(tokens, clipped_low, clipped_high, clipped_dual, ratios)
    return loss, stats


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """Per-token estimate of KL(policy || reference): exp(d) - d - 1 with d = ref_logp - logp. Never negative.

    Its value is unbiased for tokens that the policy sampled itself. Its gradient is another matter, see
    :func:`coevolve.learning.objectives.kl_term`. The caller multiplies by weight and coefficient and sums; tokens of
    weight 0 must therefore hold finite numbers.

    Source: Schulman, "Approximating KL divergence" (2020); DeepSeekMath (arXiv 2402.03300), equation 4.

    Args:
        logp: under the policy that is trained.
        ref_logp: under the reference, same shape; gets no gradient.

    Returns:
        Same shape, nats.
    """
    difference = ref_logp.detach() - logp
    return torch.expm1(difference) - difference


def kl_term(logp: Tensor, old_logp: Tensor, ref_logp: Tensor, gradient: KLGradient = "k3") -> Tensor:
    """What a token adds to the loss for its distance from the reference, before weight and coefficient.

    A sampled token is a constant to autograd, so the gradient of an estimate of a divergence is not an estimate of
    the divergence's gradient. With d = ref_logp - logp, and over tokens that the policy samples itself, the expected
    gradients are:

    - of k1 = -d: zero, because the expectation of the gradient of logp is. It would do nothing, and is not offered.
    - of k2 = d^2 / 2: that of KL(policy || reference), though its value is biased.
    - of k3 = exp(d) - d - 1: that of KL(reference || policy), the other direction, though its value estimates
      KL(policy || reference). Where the policy all but excludes what the reference writes, it pulls harder.
    - of r k3, with the gradient of r = exp(logp - old_logp) as well: that of KL(policy || reference), also when the
      tokens come from an older policy, whose log-probabilities are ``old_logp``. Without r the others are then biased.

    Published GRPO, and with it the code of R-Zero and Agent0, takes k3. DeepSeek-V3.2 and TRL
    (``use_bias_correction_kl``) multiply it by r.

    Source: Schulman, "Approximating KL divergence" (2020); Tang and Munos, "On a few pitfalls in KL divergence
    gradient estimation for RL" (arXiv 2506.09477); DeepSeek-V3.2 (arXiv 2512.02556), section 3.1.

    Args:
        logp: under the policy that is trained; the only input that gets a gradient.
        old_logp: under the policy that sampled the token.
        ref_logp: under the reference.
        gradient: ``k3``, ``k2``, or ``corrected`` for r k3.

    Returns:
        Same shape, nats.
    """
    if gradient == "k2":
        return 0.5 * (ref_logp.detach() - logp) ** 2
    term = k3(logp, ref_logp)
    return term if gradient == "k3" else (logp - old_logp.detach()).exp() * term
