"""From log-probabilities to what each token of a batch is worth: our losses, differentiated here and not on the server.

A server knows a few losses. Importance sampling is one of all of them: at a ratio of 1 the gradient of
- advantage * ratio with respect to a log-probability is - advantage. So with minus the derivative of any loss of
log-probabilities as the advantages the server computes the gradient of that loss, per-token bounds, KL term and
preferences included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from coevolve.engine.local.scoring import Streams, Tally
from coevolve.errors import EngineError
from coevolve.learning.objectives import preference_loss, preferences
from coevolve.types import Batch, Floats, TrainRow, TrainStats

Reduction = Literal["sum", "mean"]


def derivatives(
    batch: Batch, logprobs: Sequence[Floats], reference: Sequence[Floats] | None
) -> tuple[list[Floats], TrainStats]:
    """Minus the derivative of a batch's loss by each log-probability, and its statistics.

    Entropies of whole distributions are not known: the statistics have the sum of - logp over the scored tokens, whose
    expectation it is where the policy itself wrote them.

    Args:
        batch: what the loss is.
        logprobs: [L] of each row under the present weights, 0 at the first token.
        reference: the same under the reference of the KL term.

    Returns:
        Arrays [L], 0 where a token has no weight.

    Raises:
        EngineError: a first token has a weight, a bin is out of range, or a KL term has no reference.
    """
    if any(row.weight[0] > 0 for row in batch.rows):
        raise EngineError("A row has a weight on its first token, which nothing predicts")
    if any(not 0 <= row.bin < batch.bins for row in batch.rows):
        raise EngineError(f"A row is counted under a bin beyond the {batch.bins} of its batch")
    if batch.kl > 0 and reference is None:
        raise EngineError("A batch has a KL term, and the trainer no reference")
    own = torch.from_numpy(np.concatenate(logprobs)).requires_grad_()
    scored = torch.from_numpy(np.concatenate([_scored(row, batch) for row in batch.rows]))
    if batch.objective == "preference":
        loss, stats = _preference(batch, own)
    else:
        referred = None if reference is None or batch.kl == 0 else torch.from_numpy(np.concatenate(reference))
        tally = Tally(batch.bins, own.device)
        streams = _streams(batch, scored)
        at = torch.arange(int(scored.sum()))
        loss = streams.loss(
            at, own[scored], -own[scored].detach(), None if referred is None else referred[scored], tally
        )
        stats = tally.stats()
    (slope,) = torch.autograd.grad(loss, own)
    lengths = [len(row.tokens) for row in batch.rows]
    return [x.numpy() for x in (-slope).split(lengths)], stats


def advantages(gains: Sequence[Floats], reduction: Reduction) -> list[Floats]:
    """What the server must be given as advantages [L - 1] so that its reduction gives the sum over all tokens.

    ``mean`` divides a row by its L - 1 predicted tokens and the batch by its rows.
    """
    rows = len(gains)
    return [(x[1:] * (rows * (len(x) - 1) if reduction == "mean" else 1)).astype(np.float32) for x in gains]


def _scored(row: TrainRow, batch: Batch) -> np.ndarray:
    """Which tokens are computed: those of weight, of rows without advantage only where there is a KL term."""
    active = row.weight > 0
    moves = batch.kl > 0 or batch.objective == "preference" or bool(row.advantage[active].any())
    return active if moves else np.zeros_like(active)


def _streams(batch: Batch, scored: Tensor) -> Streams:
    def stream(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(row, name) for row in batch.rows]))[scored]

    bins = np.concatenate([np.full(len(row.tokens), row.bin) for row in batch.rows])
    return Streams(
        old_logp=stream("old_logp"),
        advantage=stream("advantage"),
        clip_low=stream("clip_low"),
        clip_high=stream("clip_high"),
        weight=stream("weight"),
        bin=torch.from_numpy(bins)[scored],
        bins=batch.bins,
        kl=batch.kl,
        dual_clip=batch.dual_clip,
        kl_gradient=batch.kl_gradient,
        objective=batch.objective,
    )


def _preference(batch: Batch, own: Tensor) -> tuple[Tensor, TrainStats]:
    parts = own.split([len(row.tokens) for row in batch.rows])
    ratios = torch.stack(
        [
            (torch.from_numpy(row.weight) * (logp - torch.from_numpy(row.old_logp))).sum(dtype=torch.float64)
            for row, logp in zip(batch.rows, parts, strict=True)
        ]
    )
    found = preferences(ratios.detach(), batch.pairs, batch.beta)
    learnt = [
        logp.detach()[torch.from_numpy(row.weight > 0)]
        for row, logp, gain in zip(batch.rows, parts, found.gains.tolist(), strict=True)
        if gain
    ]
    stats = TrainStats(loss=found.loss, tokens=sum(map(len, learnt)), pairs=len(batch.pairs))
    stats.preferred, stats.margin = int((found.margins > 0).sum()), float(found.margins.sum())
    stats.entropy = -sum(float(logp.sum()) for logp in learnt)
    stats.clipped_by_bin, stats.tokens_by_bin = [0] * batch.bins, [0] * batch.bins
    return preference_loss(ratios, batch.pairs, batch.beta), stats
