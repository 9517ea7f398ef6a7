"""Training statistics as metrics rows."""

from __future__ import annotations

from collections.abc import Sequence

from coevolve.types import TrainStats


def train_facts(stats: Sequence[TrainStats], kl: float) -> dict[str, object]:
    """Means over all trained tokens of one rollout batch, None where there was none to train on.

    The gradient norm is the largest of the batch's updates.
    """
    tokens = sum(s.tokens for s in stats)
    return {
        "entropy": sum(s.entropy for s in stats) / tokens if tokens else None,
        "kl": sum(s.kl for s in stats) / tokens if tokens and kl else None,
        "clip_fraction": sum(s.clipped_low + s.clipped_high for s in stats) / tokens if tokens else None,
        "grad_norm": max((s.grad_norm for s in stats), default=0.0),
        "tokens_trained": tokens,
    }


def clip_by_bin(stats: Sequence[TrainStats], bins: int) -> dict[str, object]:
    """Clipped share of the trained tokens by p_hat bin; None where a bin is empty."""
    clipped, tokens = [0] * bins, [0] * bins
    for s in stats:
        for b in range(min(bins, len(s.tokens_by_bin))):
            clipped[b] += s.clipped_by_bin[b]
            tokens[b] += s.tokens_by_bin[b]
    shares = [c / n if n else None for c, n in zip(clipped, tokens, strict=True)]
    return {"clip_fraction_by_p_hat": shares, "tokens_by_p_hat": tokens}
