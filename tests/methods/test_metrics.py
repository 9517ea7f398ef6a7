"""What a training step logs of its updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from coevolve.methods.metrics import clip_by_bin, sampled_entropy, train_facts
from coevolve.types import TrainStats, Trajectory


def test_statistics_of_updates_left_out_are_in_no_mean() -> None:
    made = TrainStats(tokens=4, entropy=2.0, clipped_high=1, grad_norm=0.5, clipped_by_bin=[1], tokens_by_bin=[4])
    out = TrainStats(
        tokens=6, entropy=math.nan, clipped_high=6, grad_norm=9.0, clipped_by_bin=[6], tokens_by_bin=[6], skipped=True
    )
    facts = train_facts([made, out], 0.0)
    assert (facts["entropy"], facts["clip_fraction"], facts["skipped_updates"]) == (0.5, 0.25, 1)
    assert (facts["grad_norm"], facts["tokens_trained"]) == (9.0, 10)
    assert clip_by_bin([made, out], 1) == {"clip_fraction_by_p_hat": [0.25], "tokens_by_p_hat": [4]}


def test_without_a_finite_gradient_there_is_no_norm() -> None:
    assert train_facts([TrainStats(grad_norm=math.nan, skipped=True)], 0.0)["grad_norm"] is None


def test_the_entropy_of_what_was_sampled_counts_every_sampled_token_once(trajectory: Callable[..., Trajectory]) -> None:
    short, long = trajectory(length=2), trajectory(length=6)
    observed = replace(long, logprobs=np.full(6, -2.0, np.float32), mask=np.arange(6) < 4)
    assert sampled_entropy([short, observed]) == pytest.approx((2 * 0.5 + 4 * 2.0) / 6)
    assert sampled_entropy([]) is None
