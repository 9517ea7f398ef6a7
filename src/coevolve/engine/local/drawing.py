"""Drawing tokens: random numbers that depend on nothing but a sequence's seed and position."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coevolve.engine.base import Sampling

_BLOCK = 128  # tokens
_FEW = 1024  # tokens; so small a vocabulary is one block
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
    """Tokens [R] and their log-probabilities [R] from logits [R, V] by inversion of the cumulative distribution.

    In a large vocabulary a block of tokens is drawn first and then a token of it: running sums in float64 over all
    tokens would take a quarter of a small model's step.
    """
    if sampling.temperature == 0.0:
        best = logits.float().max(-1)
        return best.indices, best.values - logits.float().logsumexp(-1)
    scaled = logits.to(torch.float32, copy=True).div_(sampling.temperature)
    if sampling.top_p < 1.0 or sampling.top_k:
        scaled.masked_fill_(~likely(scaled, sampling.top_p, sampling.top_k), -torch.inf)
    peak = scaled.amax(-1, keepdim=True)
    mass = scaled.sub_(peak).exp_()
    numbers = torch.from_numpy(uniform).to(logits.device)[:, None]
    if mass.shape[1] <= _FEW:
        cumulative = mass.double().cumsum(-1)
        total = cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, _below(numbers * total, total), right=True)
    else:
        tokens, total = _drawn_by_blocks(mass, numbers)
    logp = logits.gather(-1, tokens).float() / sampling.temperature - peak - total.log().float()
    return tokens[:, 0], logp[:, 0]


def _drawn_by_blocks(mass: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [R, 1] by numbers in [0, 1) [R, 1], and the sum of all mass [R, 1]."""
    size = mass.shape[1]
    whole = size // _BLOCK * _BLOCK
    sums = mass[:, :whole].unflatten(-1, (-1, _BLOCK)).sum(-1)
    if whole < size:
        sums = torch.cat([sums, mass[:, whole:].sum(-1, keepdim=True)], dim=-1)
    blocks = sums.double().cumsum(-1)
    total = blocks[:, -1:]
    target = _below(uniform * total, total)
    block = torch.searchsorted(blocks, target, right=True)
    before = blocks.gather(-1, (block - 1).clamp_(min=0)).masked_fill_(block == 0, 0.0)
    inside = block * _BLOCK + torch.arange(_BLOCK, device=mass.device)
    part = mass.gather(-1, inside.clamp(max=size - 1)).double().masked_fill_(inside >= size, 0.0).cumsum(-1)
    return block * _BLOCK + torch.searchsorted(part, _below(target - before, part[:, -1:]), right=True), total


def _below(target: Tensor, total: Tensor) -> Tensor:
    """The target, or the number before the total where rounding has put it there: no token has mass beyond it."""
    return torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
