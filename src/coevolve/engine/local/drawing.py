"""Drawing tokens: random numbers that depend on nothing but a sequence's seed and position."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coevolve.engine.base import Sampling

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seeds: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """One number in [0, 1) for each (seed, position) [R]: the splitmix64 finaliser of Steele et al. (2014)."""
    with np.errstate(over="ignore"):
        z = seeds + (positions.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    out: NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return out


def truncate(logp: Tensor, top_p: float) -> Tensor:
    """Renormalised log-probabilities [R, V] of the smallest set of tokens that holds ``top_p`` of the mass."""
    ordered, order = logp.sort(dim=-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    ordered = ordered.masked_fill(before >= top_p, float("-inf"))
    kept = torch.full_like(logp, float("-inf")).scatter(-1, order, ordered)
    return kept.log_softmax(-1)


def draw(logits: Tensor, uniform: NDArray[np.float64], sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Tokens [R] and their log-probabilities [R] from logits [R, V] by inversion of the cumulative distribution."""
    greedy = sampling.temperature == 0.0
    logp = (logits.float() if greedy else logits.float() / sampling.temperature).log_softmax(-1)
    if greedy:
        best = logp.max(-1)
        return best.indices, best.values
    if sampling.top_p < 1.0:
        logp = truncate(logp, sampling.top_p)
    cumulative = logp.double().exp().cumsum(-1)
    target = torch.from_numpy(uniform).to(logits.device)[:, None] * cumulative[:, -1:]
    # right=True: the first token whose cumulative mass exceeds the target, so tokens of zero mass are never drawn
    tokens = torch.searchsorted(cumulative, target, right=True).clamp_(max=logits.shape[-1] - 1)
    return tokens[:, 0], logp.gather(-1, tokens)[:, 0]
