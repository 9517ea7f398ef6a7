"""The loss and gradient of the local trainer against the plain formula: every term, and what tokens are drawn from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from coevolve.config.acting import Distribution
from coevolve.engine.base import SampleRequest, Sampling
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.learning.objectives import kl_term
from coevolve.types import Batch, KLGradient, TrainRow

from .plain_loss import gradients, near_policy, plain_logp, plain_loss, plain_model, some_rows, truncated_logp

Make = Callable[..., LocalTrainer]


@pytest.fixture
def make(tiny_folder: Path) -> Make:
    return lambda **options: LocalTrainer(tiny_folder, **options)


def moved_from_reference(trainer: LocalTrainer, folder: Path) -> torch.nn.Module:
    """Make the weights the reference, move on from them, and return the reference as a plain model."""
    trainer.set_reference()
    reference = plain_model(folder, trainer)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return reference


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_loss_and_gradient_are_those_of_the_plain_formula(
    make: Make, tiny_folder: Path, kl: float, temperature: float
) -> None:
    trainer = make(dtype="float64", drawn=Distribution(temperature), micro_batch_tokens=60)
    reference = moved_from_reference(trainer, tiny_folder)
    batch = Batch(near_policy(trainer, some_rows()), kl=kl, bins=2)

    oracle = plain_model(tiny_folder, trainer)
    expected = plain_loss(oracle, batch, temperature, reference if kl else None)
    expected.backward()
    stats = trainer.forward_backward(batch)

    assert stats.loss == pytest.approx(float(expected.detach()), rel=1e-7)
    assert stats.clipped_low > 0
    assert stats.clipped_high > 0
    found = gradients(trainer)
    for name, parameter in oracle.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("drawn", [Distribution(1.0, 0.8), Distribution(0.7, 1.0, 6), Distribution(1.3, 0.9, 12)])
def test_among_some_tokens_ratio_and_kl_are_those_of_the_tokens_that_the_policy_draws_from(
    make: Make, tiny_folder: Path, drawn: Distribution
) -> None:
    trainer = make(dtype="float64", drawn=drawn, micro_batch_tokens=60)
    reference = moved_from_reference(trainer, tiny_folder)
    batch = Batch(near_policy(trainer, some_rows()), kl=0.1)
    oracle = plain_model(tiny_folder, trainer)
    for row, own in zip(batch.rows, trainer.logprobs(batch.rows), strict=True):
        np.testing.assert_allclose(own[1:], truncated_logp(oracle, row, drawn).detach(), atol=1e-5)
    expected = plain_loss(oracle, batch, reference=reference, drawn=drawn)
    expected.backward()
    stats = trainer.forward_backward(batch)
    assert stats.loss == pytest.approx(float(expected.detach()), rel=1e-7)
    found = gradients(trainer)
    for name, parameter in oracle.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("gradient", ["k3", "k2", "corrected"])
def test_dual_clip_and_the_chosen_kl_gradient_reach_the_trainer(
    make: Make, tiny_folder: Path, gradient: KLGradient
) -> None:
    trainer = make(dtype="float64")
    reference = moved_from_reference(trainer, tiny_folder)
    rows = near_policy(trainer, some_rows(), spread=1.0)
    oracle = plain_model(tiny_folder, trainer)
    expected = plain_loss(oracle, Batch(rows, dual_clip=1.5))
    for row in rows:
        own, other = plain_logp(oracle, row, 1.0), plain_logp(reference, row, 1.0).detach()
        old, weight = (torch.from_numpy(getattr(row, name)[1:]) for name in ("old_logp", "weight"))
        expected = expected + 0.1 * (weight * kl_term(own, old, other, gradient)).sum()
    expected.backward()
    stats = trainer.forward_backward(Batch(rows, kl=0.1, dual_clip=1.5, kl_gradient=gradient))
    assert stats.loss == pytest.approx(float(expected.detach()), rel=1e-7)
    assert stats.clipped_dual > 0
    assert sum(stats.clipped_by_bin) == stats.clipped_low + stats.clipped_high + stats.clipped_dual
    found = gradients(trainer)
    for name, parameter in oracle.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=1e-9)


def test_a_text_that_was_drawn_among_some_tokens_has_the_same_log_probabilities_in_the_trainer(
    make: Make, tiny_folder: Path
) -> None:
    for drawn in (Distribution(1.0, 0.9), Distribution(0.8, 1.0, 5), Distribution(1.2, 0.95, 20)):
        sampler, trainer = LocalSampler(tiny_folder), make(drawn=drawn)
        sampling = Sampling(drawn.temperature, drawn.top_p, drawn.top_k, max_tokens=40)
        for i in range(6):
            sampler.submit(SampleRequest(i, np.array([4, 5 + i], np.int32), sampling, seed=i))
        done = []
        while sampler.active:
            done += sampler.step()
        for c in done:
            tokens = np.concatenate([np.array([4, 5 + c.id], np.int32), c.tokens])
            zeros = np.zeros(len(tokens), np.float32)
            (own,) = trainer.logprobs([TrainRow(tokens, zeros, zeros, zeros, zeros, zeros, zeros)])
            np.testing.assert_allclose(own[2:], c.logprobs, atol=2e-5)
