"""The objectives of training, per token, as sums that add up over micro-batches; preferences per sequence.

Names: r = exp(logp - old_logp), A = advantage. All tensors of a call have one shape, [N] or [B, T].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

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


def weighted_likelihood(
    logp: Tensor, advantage: Tensor, weight: Tensor, bins: Tensor | None = None, n_bins: int = 1
) -> tuple[Tensor, ClipStats]:
    """- sum of weight * advantage * logp, to be minimised: supervised training where each text counts as it is worth.

    With an advantage of 1 everywhere it is the usual negative log-likelihood. An advantage below 0 makes a token less
    probable, without any bound: it is for the gradient of a loss that has one of its own.

    Source: Socratic-Zero (arXiv 2509.24726) for texts that are weighted by their utility.

    Args:
        logp: log-probabilities under the policy that is trained; the only input that gets a gradient.
        advantage: what the text of each token is worth.
        weight: mask and normalisation, >= 0; where it is 0 the other tensors may hold anything, also NaN.
        bins: integers 0 ... n_bins - 1, the bin under which a token is counted; None counts all under bin 0.
        n_bins: number of bins.

    Returns:
        The loss, a scalar, and the counts, in which nothing is clipped and ratios are 0.
    """
    active = weight > 0
    gain = torch.where(active, advantage, 0.0).detach()
    loss = -(weight * gain * torch.where(active, logp, 0.0)).sum()
    with torch.no_grad():
        chosen = (torch.zeros_like(logp, dtype=torch.int64) if bins is None else bins.long()).flatten()
        tokens = torch.zeros(n_bins, dtype=torch.int64, device=logp.device)
        tokens.index_add_(0, chosen, active.flatten().long())
        none = torch.zeros_like(tokens)
        stats = ClipStats(tokens, none, none, none, torch.zeros(n_bins, dtype=logp.dtype, device=logp.device))
    return loss, stats


class Preferences(NamedTuple):
    """A preference loss at the present log-ratios, and what it says of each row."""

    loss: float  # mean over the pairs, nats
    gains: Tensor  # [N] minus its derivative by the log-ratio of each row
    margins: Tensor  # [pairs] beta times how far the preferred row is ahead


def preference_loss(log_ratios: Tensor, pairs: Sequence[tuple[int, int]], beta: float) -> Tensor:
    """DPO: the mean over pairs (w, l) of -log sigmoid(beta * (log_ratios[w] - log_ratios[l])).

    At a policy equal to its reference every pair costs log 2.

    Source: Direct Preference Optimization (arXiv 2305.18290), equation 7.

    Args:
        log_ratios: [N], log pi(y) - log pi_ref(y) of whole texts: sums over their tokens.
        pairs: places (preferred, other) in ``log_ratios``, at least one.
        beta: above 0.

    Returns:
        A scalar, nats.
    """
    return -F.logsigmoid(_margins(log_ratios, pairs, beta)).mean()


def preferences(log_ratios: Tensor, pairs: Sequence[tuple[int, int]], beta: float) -> Preferences:
    """The loss of :func:`preference_loss` and its gradient by each log-ratio.

    The gradient by the parameters is the sum over rows of -gain times that of the row's log-probability. So rows may
    be worked on one by one, as ``weighted_likelihood`` with the gains as advantages, once all log-ratios are known.

    Args:
        log_ratios, pairs, beta: as there; no gradient flows through the result.
    """
    leaf = log_ratios.detach().requires_grad_()
    with torch.enable_grad():
        loss = preference_loss(leaf, pairs, beta)
        (gradient,) = torch.autograd.grad(loss, leaf)
    return Preferences(loss.item(), -gradient, _margins(leaf.detach(), pairs, beta))


def _margins(log_ratios: Tensor, pairs: Sequence[tuple[int, int]], beta: float) -> Tensor:
    preferred, other = torch.tensor(pairs, dtype=torch.int64, device=log_ratios.device).unbind(1)
    return beta * (log_ratios[preferred] - log_ratios[other])
