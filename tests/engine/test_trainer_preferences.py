"""The trainer on preferences and on weighted texts: its gradient against autograd on the plain model, all weights and
adapters, however the rows are packed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coevolve.config import LoraSection
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.types import Batch, TrainRow

from .plain_loss import gradients, set_weights, some_rows, weights_of

PAIRS = ((0, 1), (0, 3), (2, 3), (4, 1))
LORA = LoraSection(enabled=True, rank=4, alpha=8)


def rows_of(trainer: LocalTrainer) -> tuple[TrainRow, ...]:
    """Texts of weight 1 behind their prompts, with the present log-probabilities as those of the reference."""
    rows = [replace(x, weight=(x.weight > 0).astype(np.float32)) for x in some_rows(5)]
    known = trainer.logprobs(rows)
    return tuple(replace(row, old_logp=logp) for row, logp in zip(rows, known, strict=True))


def moved(trainer: LocalTrainer) -> None:
    set_weights(trainer, {name: 1.03 * value + 0.01 for name, value in weights_of(trainer).items()})


@pytest.mark.parametrize("lora", [None, LORA])
def test_the_gradient_of_preferences_is_that_of_finite_differences(tiny_folder: Path, lora: LoraSection | None) -> None:
    trainer = LocalTrainer(tiny_folder, dtype="float32" if lora else "float64", lora=lora)
    batch = Batch(rows_of(trainer), objective="preference", pairs=PAIRS, beta=0.7)
    moved(trainer)
    trainer.forward_backward(batch)
    found = {name: value.grad.double().numpy().copy() for name, value in trainer._trained.parameters.items()}
    here, step = weights_of(trainer), 1e-3
    norm = math.sqrt(sum(float((value**2).sum()) for value in found.values()))
    sides = []
    for side in (step, -step):  # along the gradient itself, in which it is steepest
        set_weights(trainer, {n: (w + side / norm * found[n]).astype(w.dtype) for n, w in here.items()})
        sides.append(trainer.forward_backward(batch).loss)
    assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(norm, rel=1e-2)


def test_preferences_do_not_depend_on_how_rows_are_packed(tiny_folder: Path) -> None:
    found = []
    for tokens in (16, 8192):
        trainer = LocalTrainer(tiny_folder, dtype="float64", micro_batch_tokens=tokens)
        batch = Batch(rows_of(trainer), objective="preference", pairs=PAIRS, beta=0.7)
        moved(trainer)
        loss = trainer.forward_backward(batch).loss
        found.append((loss, gradients(trainer)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert all(torch.allclose(found[0][1][n], found[1][1][n], rtol=1e-4, atol=1e-8) for n in found[0][1])


def test_the_loss_of_preferences_is_their_formula(tiny_folder: Path) -> None:
    trainer = LocalTrainer(tiny_folder)
    rows = rows_of(trainer)
    moved(trainer)
    stats = trainer.forward_backward(Batch(rows, objective="preference", pairs=PAIRS, beta=0.7))
    own = trainer.logprobs(rows)
    ratio = [float((p - r.old_logp)[r.weight > 0].sum(dtype=np.float64)) for p, r in zip(own, rows, strict=True)]
    margins = [0.7 * (ratio[w] - ratio[x]) for w, x in PAIRS]
    assert stats.loss == pytest.approx(sum(math.log1p(math.exp(-m)) for m in margins) / 4, rel=1e-6)
    assert stats.margin == pytest.approx(sum(margins), rel=1e-5)
    assert (stats.pairs, stats.preferred) == (4, sum(m > 0 for m in margins))


def test_at_the_reference_the_loss_is_log_2_and_a_step_makes_it_smaller(tiny_folder: Path) -> None:
    trainer = LocalTrainer(tiny_folder)
    batch = Batch(rows_of(trainer), objective="preference", pairs=PAIRS, beta=0.1)
    assert trainer.forward_backward(batch).loss == pytest.approx(math.log(2), rel=1e-6)
    trainer.step(1e-3)
    after = trainer.forward_backward(batch)
    assert after.loss < math.log(2)
    assert after.preferred == len(PAIRS)
    assert after.margin > 0


def test_the_loss_of_weighted_texts_is_the_sum_of_their_negative_log_likelihoods(tiny_folder: Path) -> None:
    trainer = LocalTrainer(tiny_folder)
    worth = [0.0, 1.0, 0.5]
    rows = [
        replace(row, advantage=np.full(len(row.tokens), value, np.float32))
        for row, value in zip(rows_of(trainer)[:3], worth, strict=True)
    ]
    wanted = -sum(value * float(row.old_logp[row.weight > 0].sum()) for row, value in zip(rows, worth, strict=True))
    stats = trainer.forward_backward(Batch(tuple(rows), objective="likelihood"))
    assert stats.loss == pytest.approx(wanted, rel=1e-4)
    assert stats.clipped_high == stats.clipped_low == 0
    assert stats.tokens == sum(int((row.weight > 0).sum()) for row in rows[1:])  # what is worth nothing is left out


def test_a_batch_of_preferences_teaches_if_it_has_a_pair() -> None:
    rows = tuple(replace(x, advantage=np.zeros(len(x.tokens), np.float32)) for x in some_rows(2))
    assert Batch(rows, objective="preference", pairs=((0, 1),), beta=0.1).teaches
    assert not Batch(rows, objective="preference", beta=0.1).teaches
