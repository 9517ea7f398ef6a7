"""The policy-gradient objective, per token, as sums that add up over micro-batches.

Names: r = exp(logp - old_logp), A = advantage. All tensors of a call have one shape, [N] or [B, T].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ClipStats:
    """Sums over the trained tokens, one entry per bin ([bins]); add the ClipStats of micro-batches."""

    tokens: Tensor  # int64, tokens with a weight above 0
    clipped_low: Tensor  # int64, tokens whose gradient the lower bound removed: A < 0 and r < 1 - clip_low
    clipped_high: Tensor  # int64, tokens whose gradient the upper bound removed: A > 0 and r > 1 + clip_high
    ratio: Tensor  # sum of r, same floating type as logp

    def __add__(self, other: ClipStats) -> ClipStats:
        return ClipStats(
            self.tokens + other.tokens,
            self.clipped_low + other.clipped_low,
            self.clipped_high + other.clipped_high,
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
) -> tuple[Tensor, ClipStats]:
    """- sum of weight * min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), to be minimised.

    The trainer does not know methods: GRPO, ADPO and others differ in what they write into ``advantage`` and
    the bounds.

    Source: PPO (arXiv 1707.06347), equation 7; Agent0 (arXiv 2511.16043), equation 8 for bounds that vary by
    task.

    Args:
        logp: log-probabilities under the policy that is trained; the only input that gets a gradient.
        old_logp: log-probabilities under the policy that the ratio compares with.
        advantage: A of each token.
        clip_low: distance of the lower bound from 1, in [0, 1).
        clip_high: distance of the upper bound from 1, >= 0.
        weight: mask and normalisation, >= 0; where it is 0 the other tensors may hold anything, also NaN.
        bins: integers 0 ... n_bins - 1, the bin under which a token is counted; None counts all under bin 0.
        n_bins: number of bins.

    Returns:
        The loss, a scalar, and the counts.
    """
    active = weight > 0
    log_ratio = torch.where(active, logp - old_logp.detach(), 0.0)
    gain = torch.where(active, advantage, 0.0).detach()
    ratio = log_ratio.exp()
    bounded = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    surrogate = torch.where(active, torch.minimum(ratio * gain, bounded * gain), 0.0)
    loss = -(weight * surrogate).sum()
    with torch.no_grad():
        low = active & (gain < 0) & (ratio < 1.0 - clip_low)
        high = active & (gain > 0) & (ratio > 1.0 + clip_high)
        chosen = (torch.zeros_like(ratio, dtype=torch.int64) if bins is None else bins.long()).flatten()
        # Sums by index, because to select by a mask a GPU must first tell how many were selected.
        counts = torch.zeros(3, n_bins, dtype=torch.int64, device=ratio.device)
        counts.index_add_(1, chosen, torch.stack([active, low, high]).flatten(1).long())
        ratios = torch.zeros(n_bins, dtype=ratio.dtype, device=ratio.device)
        ratios.index_add_(0, chosen, torch.where(active, ratio, 0.0).flatten())
        tokens, clipped_low, clipped_high = counts.unbind()
        stats = ClipStats(tokens, clipped_low, clipped_high, ratios)
    return loss, stats


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """Per-token estimate of KL(policy || reference): exp(d) - d - 1 with d = ref_logp - logp. Never negative.

    Unbiased for tokens that the policy sampled itself. The caller multiplies by weight and coefficient and
    sums; tokens of weight 0 must therefore hold finite numbers.

    Source: Schulman, "Approximating KL divergence" (2020); DeepSeekMath (arXiv 2402.03300), equation 4.

    Args:
        logp: under the policy that is trained.
        ref_logp: under the reference, same shape; gets no gradient.

    Returns:
        Same shape, nats.
    """
    difference = ref_logp.detach() - logp
    return torch.expm1(difference) - difference
