"""Training statistics as metrics rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coevolve.learning.guard import largest_finite
from coevolve.types import TrainStats, Trajectory


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean(values)) if len(values) else None


def train_facts(stats: Sequence[TrainStats], kl: float) -> dict[str, object]:
    """Means over all trained tokens of one rollout batch, None where there was none to train on.

    Means are those of the updates that were made. The gradient norm is the largest of the batch's updates, those
    left out included, None where none is finite. ``micro_batch_halvings`` is there only where memory ran out.
    """
    made = [s for s in stats if not s.skipped]
    tokens = sum(s.tokens for s in made)
    halvings = sum(s.halvings for s in stats)
    shortage: dict[str, object] = {"micro_batch_halvings": halvings} if halvings else {}
    return shortage | {
        "entropy": sum(s.entropy for s in made) / tokens if tokens else None,
        "kl": sum(s.kl for s in made) / tokens if tokens and kl else None,
        "clip_fraction": sum(s.clipped_low + s.clipped_high for s in made) / tokens if tokens else None,
        "grad_norm": largest_finite(s.grad_norm for s in stats),
        "skipped_updates": len(stats) - len(made),
        "tokens_trained": sum(s.tokens for s in stats),
    }


def sampled_entropy(trajectories: Sequence[Trajectory]) -> float | None:
    """The policy's entropy in nats per token, estimated by the mean of -log p over all tokens that it sampled.

    Unbiased, and the same for every kind of text; None where nothing was sampled.
    """
    tokens = sum(x.sampled for x in trajectories)
    return -sum(float(x.logprobs[x.mask].sum(dtype=np.float64)) for x in trajectories) / tokens if tokens else None


def clip_by_bin(stats: Sequence[TrainStats], bins: int) -> dict[str, object]:
    """Clipped share of the trained tokens by p_hat bin, of the updates that were made; None where a bin is empty."""
    clipped, tokens = [0] * bins, [0] * bins
    for s in (s for s in stats if not s.skipped):
        for b in range(min(bins, len(s.tokens_by_bin))):
            clipped[b] += s.clipped_by_bin[b]
            tokens[b] += s.tokens_by_bin[b]
    shares = [c / n if n else None for c, n in zip(clipped, tokens, strict=True)]
    return {"clip_fraction_by_p_hat": shares, "tokens_by_p_hat": tokens}
