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


def likely(logits: Tensor, top_p: float, top_k: int = 0) -> Tensor:
    """Which tokens [R, V] are drawn from: of the ``top_k`` most probable (0: all) the fewest that hold ``top_p``.

    The probability that ``top_p`` is a share of is that of the ``top_k`` tokens. Tokens as probable as the last of the
    ``top_k`` are kept with it.
    """
    if top_k and top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    kept = logits > -torch.inf
    if top_p < 1.0:
        ordered, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
        enough = ordered.cumsum(-1) - ordered >= top_p  # what comes before holds it already
        kept &= ~torch.zeros_like(kept).scatter(-1, order, enough)
    return kept


def truncate(logp: Tensor, top_p: float, top_k: int = 0) -> Tensor:
    """Log-probabilities [R, V] rescaled over the tokens that are drawn from; of the others -inf."""
    return logp.masked_fill(~likely(logp, top_p, top_k), -torch.inf).log_softmax(-1)


def draw(logits: Tensor, uniform: NDArray[np.float64], sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Tokens [R] and their log-probabilities [R] from logits [R, V] by inversion of the cumulative distribution."""
    greedy = sampling.temperature == 0.0
    logp = (logits.float() if greedy else logits.float() / sampling.temperature).log_softmax(-1)
    if greedy:
        best = logp.max(-1)
        return best.indices, best.values
    if sampling.top_p < 1.0 or sampling.top_k:
        logp = truncate(logp, sampling.top_p, sampling.top_k)
    cumulative = logp.double().exp().cumsum(-1)
    target = torch.from_numpy(uniform).to(logits.device)[:, None] * cumulative[:, -1:]
    # right=True: the first token whose cumulative mass exceeds the target, so tokens of zero mass are never drawn
    tokens = torch.searchsorted(cumulative, target, right=True).clamp_(max=logits.shape[-1] - 1)
    return tokens[:, 0], logp.gather(-1, tokens)[:, 0]
