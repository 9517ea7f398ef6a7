"""From trajectories to training rows: prompts and observations get weight 0, the rest its per-token streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coevolve.learning.weights import Normalisation, token_weights
from coevolve.types import Floats, TrainRow, Trajectory


@dataclass(frozen=True, slots=True)
class Lesson:
    """One trajectory and what its every sampled token is told."""

    trajectory: Trajectory
    advantage: float
    clip_low: float
    clip_high: float
    bin: int = 0


def minibatch_rows(lessons: Sequence[Lesson], normalisation: Normalisation, max_tokens: int) -> list[TrainRow]:
    """Rows of one optimiser step; the weights are those of this minibatch as a whole.

    Args:
        lessons: the trajectories of the minibatch.
        normalisation: see :func:`coevolve.learning.weights.token_weights`.
        max_tokens: token budget of a trajectory, for the ``fixed`` normalisation.
    """
    weights = token_weights([x.trajectory.mask for x in lessons], normalisation, max_tokens=max_tokens)
    return [_row(lesson, weight) for lesson, weight in zip(lessons, weights, strict=True)]


def plain_row(trajectory: Trajectory) -> TrainRow:
    """A row that teaches nothing, for asking a trainer about the log-probabilities of a trajectory."""
    return _row(Lesson(trajectory, 0.0, 0.2, 0.2), trajectory.mask.astype(np.float32))


def _row(lesson: Lesson, weight: Floats) -> TrainRow:
    t = lesson.trajectory
    prompt = np.zeros(len(t.prompt), np.float32)
    length = len(t.prompt) + len(t.tokens)
    return TrainRow(
        tokens=np.concatenate([t.prompt, t.tokens]).astype(np.int32),
        old_logp=np.concatenate([prompt, t.logprobs]),
        advantage=np.full(length, lesson.advantage, np.float32),
        clip_low=np.full(length, lesson.clip_low, np.float32),
        clip_high=np.full(length, lesson.clip_high, np.float32),
        weight=np.concatenate([prompt, weight]).astype(np.float32),
        bin=lesson.bin,
    )
