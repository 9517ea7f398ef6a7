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


def lengths_of(*trained: int) -> list[np.ndarray]:
    return [np.arange(12) < count for count in trained]


def test_each_micro_batch_has_a_mean_over_its_tokens_and_they_count_alike() -> None:
    weights = token_weights(lengths_of(1, 3, 10, 2), "token", micro_batch=2)
    for row, share in zip(weights, (1 / 8, 1 / 8, 1 / 24, 1 / 24), strict=True):  # 1 / 2 of 1 / 4 and of 1 / 12
        np.testing.assert_allclose(row[row > 0], share, rtol=1e-6)
    values = [np.linspace(0, 1, 12) * (i + 1) for i in range(4)]
    means = [np.concatenate([values[i][:n] for i, n in part]).mean() for part in (((0, 1), (1, 3)), ((2, 10), (3, 2)))]
    total = sum(float((w * v).sum()) for w, v in zip(weights, values, strict=True))
    assert total == pytest.approx(float(np.mean(means)), rel=1e-6)


def test_micro_batches_of_one_sequence_are_the_sequence_mean_and_of_all_the_token_mean() -> None:
    masks = [*MASKS, *lengths_of(4, 0, 7)]
    for size, name in ((1, "sequence"), (4, "token"), (100, "token"), (0, "token")):
        ours = token_weights(masks, "token", micro_batch=size)
        assert [x.tolist() for x in ours] == [x.tolist() for x in token_weights(masks, name)]  # type: ignore[arg-type]


def test_a_micro_batch_that_is_not_full_counts_by_its_sequences() -> None:
    weights = token_weights(lengths_of(2, 4, 5), "token", micro_batch=2)
    np.testing.assert_allclose([row.sum() for row in weights], [2 / 9, 4 / 9, 1 / 3], rtol=1e-6)


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
