"""Training rows: what their weights sum to and which sequences they favour, and where their streams come from."""

from __future__ import annotations

import numpy as np
import pytest

from coevolve.learning.rows import Lesson, minibatch_rows, token_weights
from coevolve.types import StopReason, Trajectory

MASKS = [np.array([False, True, True, False, True]), np.array([False, True]), np.array([False, False])]


def test_token_mean_gives_every_trained_token_the_same_weight() -> None:
    weights = token_weights(MASKS, "token")
    assert [row.tolist() for row in weights] == [[0, 0.25, 0.25, 0, 0.25], [0, 0.25], [0, 0]]


def test_sequence_mean_gives_every_trained_sequence_the_same_weight() -> None:
    weights = token_weights(MASKS, "sequence")
    np.testing.assert_allclose([row.sum() for row in weights], [0.5, 0.5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(weights[0], [0, 1 / 6, 1 / 6, 0, 1 / 6], rtol=1e-6)


def test_fixed_length_does_not_depend_on_the_lengths() -> None:
    weights = token_weights(MASKS, "fixed", max_tokens=10)
    assert all(np.all(row[mask] == np.float32(1 / 30)) for row, mask in zip(weights, MASKS, strict=True))
    assert all(np.all(row[~mask] == 0) for row, mask in zip(weights, MASKS, strict=True))


@pytest.mark.parametrize("max_tokens", [None, 0])
def test_fixed_length_needs_a_limit(max_tokens: int | None) -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        token_weights(MASKS, "fixed", max_tokens=max_tokens)


def test_a_minibatch_without_trained_tokens_has_no_weight() -> None:
    for name in ("token", "sequence"):
        assert [row.tolist() for row in token_weights([np.zeros(3, bool)], name)] == [[0, 0, 0]]
    assert token_weights([], "token") == []


def test_both_streams_of_log_probabilities_are_the_samplers_behind_zeros_for_the_prompt() -> None:
    prompt, tokens = np.array([7, 8], np.int32), np.array([3, 4, 5], np.int32)
    mask, logprobs = np.array([True, False, True]), np.array([-0.5, 0.0, -2.0], np.float32)
    played = Trajectory("t", 0, prompt, tokens, mask, logprobs, "", (), None, StopReason.EOS, "p", (0,), "c")
    (row,) = minibatch_rows([Lesson(played, 1.0, 0.2, 0.3)], "token", 10)
    for stream in (row.sampler_logp, row.old_logp):
        assert stream.dtype == np.float32
        assert stream.tolist() == [0, 0, -0.5, 0, -2]
    assert row.weight.tolist() == [0, 0, 0.5, 0, 0.5]
