"""Rows to train on, and the loss of the trainer written out plainly: one row at a time, all logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from coevolve.config.acting import Distribution
from coevolve.engine.base import Arrays, Trainer
from coevolve.engine.local.models import load_model
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.types import Batch, TrainRow


def weights_of(trainer: Trainer) -> dict[str, np.ndarray]:
    """What a trainer hands to samplers."""
    source = trainer.snapshot("p", 0).source
    assert isinstance(source, Arrays)
    return dict(source.weights)


def set_weights(trainer: LocalTrainer, weights: Mapping[str, np.ndarray]) -> None:
    """Other weights for a trainer; none at all turn an adapter off."""
    trainer._trained.load({name: torch.from_numpy(value) for name, value in weights.items()})


def some_rows(count: int = 7, seed: int = 0, prompt: int = 3) -> tuple[TrainRow, ...]:
    """Rows with an observation in the middle and ratios on both sides of the bounds.

    Every second one starts like the one before: with its prompt, and sometimes with some of its answer.
    """
    random = np.random.default_rng(seed)
    rows: list[TrainRow] = []
    for i in range(count):
        length = int(random.integers(8, 30))
        tokens = random.integers(0, 39, length).astype(np.int32)
        if i % 2:
            tokens[: 3 + i % 4] = rows[-1].tokens[: 3 + i % 4]
        weight = random.uniform(0.5, 1.5, length) / 50
        weight[:prompt] = 0
        weight[5 : 5 + i % 3] = 0
        rows.append(
            TrainRow(
                tokens=tokens,
                old_logp=random.normal(-4, 1.5, length).astype(np.float32),
                advantage=random.normal(0, 1, length).astype(np.float32),
                clip_low=np.full(length, 0.2, np.float32),
                clip_high=random.uniform(0.2, 0.3, length).astype(np.float32),
                weight=weight.astype(np.float32),
                sampler_logp=np.full(length, np.nan, np.float32),  # the loss has no use for it
            )
        )
    return tuple(rows)


def plain_model(folder: Path, trainer: LocalTrainer) -> torch.nn.Module:
    """The trainer's weights in the standard class with its standard attention.

    Its norms would round to float32 whatever the weights are: in float64 torch's own take their place.
    """
    dtype = next(trainer.model.parameters()).dtype
    model = load_model(folder, dtype=dtype)
    model.load_state_dict(trainer.model.state_dict())
    if dtype == torch.float64:
        with_exact_norms(model)
    return model


def with_exact_norms(model: torch.nn.Module) -> None:
    """Put torch's own norms in the place of those that round to float32."""
    for name, norm in [(name, x) for name, x in model.named_modules() if hasattr(x, "variance_epsilon")]:
        exact = torch.nn.RMSNorm(norm.weight.shape, eps=norm.variance_epsilon, dtype=torch.float64)
        exact.load_state_dict(norm.state_dict())
        model.set_submodule(name, exact)


def near_policy(trainer: LocalTrainer, rows: Sequence[TrainRow], spread: float = 0.3) -> tuple[TrainRow, ...]:
    """The same rows with old log-probabilities close to the trainer's own."""
    random = np.random.default_rng(1)
    own = trainer.logprobs(rows)
    return tuple(
        replace(row, old_logp=(p + random.normal(0, spread, len(p))).astype(np.float32))
        for row, p in zip(rows, own, strict=True)
    )


def plain_logp(model: torch.nn.Module, row: TrainRow, temperature: float) -> torch.Tensor:
    """Log-probabilities of tokens 1 ... L - 1: one row, all logits, no packing, no padding."""
    tokens = torch.from_numpy(row.tokens.astype(np.int64))[None]
    logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, :-1] / temperature
    return torch.log_softmax(logits, -1)[torch.arange(len(row.tokens) - 1), tokens[0, 1:]]


def kept_tokens(logp: Sequence[float], top_p: float, top_k: int, token: int) -> list[int]:
    """Which tokens are drawn from, and the one at hand, one after the other by their probability."""
    order = sorted(range(len(logp)), key=lambda i: -logp[i])[: top_k or None]
    total = sum(np.exp(logp[i]) for i in order)
    kept, held = {token}, 0.0
    for i in order:
        if held >= top_p * total:
            break
        kept.add(i)
        held += np.exp(logp[i])
    return sorted(kept)


def truncated_logp(
    model: torch.nn.Module, row: TrainRow, drawn: Distribution, policy: torch.nn.Module | None = None
) -> torch.Tensor:
    """As ``plain_logp``, among the tokens that the policy (default: the model itself) draws from."""
    tokens = torch.from_numpy(row.tokens.astype(np.int64))[None]
    logits = model(input_ids=tokens).logits[0, :-1] / drawn.temperature
    whose = logits if policy is None else policy(input_ids=tokens).logits[0, :-1] / drawn.temperature
    out = []
    for at, token in enumerate(row.tokens[1:].tolist()):
        kept = kept_tokens(whose[at].detach().log_softmax(-1).tolist(), drawn.top_p, drawn.top_k, token)
        out.append(logits[at, token] - logits[at, kept].logsumexp(-1))
    return torch.stack(out)


def plain_loss(
    model: torch.nn.Module,
    batch: Batch,
    temperature: float = 1.0,
    reference: torch.nn.Module | None = None,
    drawn: Distribution | None = None,
) -> torch.Tensor:
    total = torch.zeros((), dtype=next(model.parameters()).dtype)
    for row in batch.rows:
        logp = plain_logp(model, row, temperature) if drawn is None else truncated_logp(model, row, drawn)
        old, gain, low, high, weight = (
            torch.from_numpy(getattr(row, name)[1:])
            for name in ("old_logp", "advantage", "clip_low", "clip_high", "weight")
        )
        ratio = torch.exp(logp - old)
        bounded = torch.max(torch.min(ratio, 1 + high), 1 - low)
        loss = -torch.min(ratio * gain, bounded * gain)
        if batch.dual_clip is not None:
            loss = torch.where(gain < 0, torch.min(loss, -batch.dual_clip * gain), loss)
        if reference is not None:
            other = (
                plain_logp(reference, row, temperature)
                if drawn is None
                else truncated_logp(reference, row, drawn, policy=model)
            )
            gap = other.detach() - logp
            loss = loss + batch.kl * (gap.exp() - gap - 1)
        total = total + (weight * loss).sum()
    return total


def gradients(trainer: LocalTrainer) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
