"""Preferences between texts, and texts that are weighted, against closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from coevolve.learning.objectives import preference_loss, preferences, weighted_likelihood

PAIRS = [(0, 1), (0, 2), (3, 2)]


def test_at_a_policy_equal_to_its_reference_every_pair_costs_log_2() -> None:
    assert preference_loss(torch.zeros(4, dtype=torch.float64), PAIRS, 0.1).item() == pytest.approx(math.log(2))


def test_the_preference_loss_is_that_of_logistic_regression_on_the_margin() -> None:
    ratios = [0.3, -1.2, 2.5, 0.0]
    by_hand = [math.log1p(math.exp(-0.7 * (ratios[w] - ratios[x]))) for w, x in PAIRS]
    found = preferences(torch.tensor(ratios, dtype=torch.float64), PAIRS, 0.7)
    assert found.loss == pytest.approx(sum(by_hand) / 3)
    assert found.margins.tolist() == pytest.approx([0.7 * (ratios[w] - ratios[x]) for w, x in PAIRS])


def test_gains_are_minus_the_finite_differences_of_the_loss() -> None:
    ratios = torch.tensor([0.3, -1.2, 2.5, 0.4], dtype=torch.float64)
    gains = preferences(ratios, PAIRS, 0.7).gains
    for row in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[row] = 1e-6
        slope = (preference_loss(ratios + step, PAIRS, 0.7) - preference_loss(ratios - step, PAIRS, 0.7)).item() / 2e-6
        assert gains[row].item() == pytest.approx(-slope, abs=1e-8)


def test_gains_at_equal_policies_have_a_closed_form_and_add_up_to_nothing() -> None:
    gains = preferences(torch.zeros(4, dtype=torch.float64), PAIRS, 0.1).gains
    assert gains.tolist() == pytest.approx([0.1 / 3, -0.05 / 3, -0.1 / 3, 0.05 / 3])


def test_a_margin_without_bounds_overflows_nowhere() -> None:
    found = preferences(torch.tensor([-1e5, 1e5, 0.0, 0.0], dtype=torch.float64), [(0, 1)], 0.1)
    assert found.loss == pytest.approx(2e4)
    assert found.gains[:2].tolist() == pytest.approx([0.1, -0.1])


def test_the_weighted_likelihood_is_its_formula_and_ignores_tokens_of_weight_0() -> None:
    rng = np.random.default_rng(0)
    logp, gain, weight = (torch.tensor(rng.normal(size=9)), torch.tensor(rng.normal(size=9)), torch.rand(9).double())
    weight[2] = 0.0
    wanted = -sum(float(weight[i] * gain[i] * logp[i]) for i in range(9) if i != 2)
    logp[2] = math.nan
    logp.requires_grad_()
    loss, stats = weighted_likelihood(logp, gain, weight)
    assert loss.item() == pytest.approx(wanted)
    assert stats.tokens.tolist() == [8]
    loss.backward()
    assert logp.grad is not None
    assert logp.grad.tolist() == pytest.approx([0.0 if i == 2 else -float(weight[i] * gain[i]) for i in range(9)])
