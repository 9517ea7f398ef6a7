"""From trajectories to training rows: token weights (mask and loss normalisation) and the other per-token streams.
Prompts and observations get weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coevolve.types import Bools, Floats, Ints, TrainRow, Trajectory

Normalisation = Literal["token", "sequence", "fixed"]


def token_weights(
    masks: Sequence[Bools],
    normalisation: Normalisation = "token",
    *,
    max_tokens: int | None = None,
    micro_batch: int = 0,
) -> list[Floats]:
    """The weight of every token of a minibatch; 0 where the mask is false.

    - ``token``: 1 / (trained tokens of the minibatch). Long answers count more. Weights add up to 1. With
      ``micro_batch`` = m, as EasyR1 and verl do it: the mean over tokens of each m sequences in turn, and the mean of
      these means, in which fewer than m at the end count by their number. m = 1 is ``sequence``.
    - ``sequence``: 1 / (sequences * trained tokens of the sequence), over the sequences that have any: the
      mean over sequences of the mean over tokens, as in GRPO. Weights add up to 1.
    - ``fixed``: 1 / (sequences * max_tokens): no dependence on lengths, as in Dr. GRPO (arXiv 2503.20783).

    Args:
        masks: one array [L_i] per sequence, true for the tokens that are trained on; lengths may differ.
        normalisation: one of the three above.
        max_tokens: token limit of a sequence, for ``fixed`` only.
        micro_batch: sequences that share a mean, for ``token`` only; 0: all. Those without trained tokens do not count.

    Returns:
        One array [L_i] per sequence.

    Raises:
        ValueError: ``fixed`` without a positive ``max_tokens``.
    """
    trained = [int(mask.sum()) for mask in masks]
    if normalisation == "token":
        shares = _shares_of_means(trained, micro_batch or max(len(masks), 1))
    elif normalisation == "sequence":
        sequences = sum(count > 0 for count in trained)
        shares = [1.0 / max(sequences * count, 1) for count in trained]
    else:
        if max_tokens is None or max_tokens < 1:
            raise ValueError("the fixed normalisation needs the token limit of a sequence: max_tokens >= 1")
        shares = [1.0 / (len(masks) * max_tokens)] * len(masks)
    return [np.where(mask, share, 0.0).astype(np.float32) for mask, share in zip(masks, shares, strict=True)]


def _shares_of_means(trained: Sequence[int], size: int) -> list[float]:
    """Of each sequence's tokens, where each ``size`` sequences that have any share a mean."""
    some = [i for i, count in enumerate(trained) if count]
    shares = [1.0] * len(trained)  # of sequences without a trained token: their weights are 0
    for begin in range(0, len(some), size):
        part = some[begin : begin + size]
        tokens = sum(trained[i] for i in part)
        for i in part:
            shares[i] = 1.0 / tokens if len(part) == len(some) else len(part) / (len(some) * tokens)
    return shares


@dataclass(frozen=True, slots=True)
class Lesson:
    """One trajectory and what its every sampled token is told."""

    trajectory: Trajectory
    advantage: float
    clip_low: float
    clip_high: float
    bin: int = 0


def minibatch_rows(
    lessons: Sequence[Lesson], normalisation: Normalisation, max_tokens: int, micro_batch: int = 0
) -> list[TrainRow]:
    """Rows of one optimiser step; the weights are those of this minibatch as a whole.

    Args:
        lessons: the trajectories of the minibatch.
        normalisation, micro_batch: see :func:`coevolve.learning.rows.token_weights`.
        max_tokens: token budget of a trajectory, for the ``fixed`` normalisation.
    """
    masks = [x.trajectory.mask for x in lessons]
    weights = token_weights(masks, normalisation, max_tokens=max_tokens, micro_batch=micro_batch)
    return [_row(lesson, weight) for lesson, weight in zip(lessons, weights, strict=True)]


def plain_row(trajectory: Trajectory) -> TrainRow:
    """A row that teaches nothing, for asking a trainer about the log-probabilities of a trajectory."""
    return _row(Lesson(trajectory, 0.0, 0.2, 0.2), trajectory.mask.astype(np.float32))


def text_row(
    prompt: Ints, tokens: Ints, mask: Bools, *, weight: float = 1.0, worth: float = 0.0, old_logp: Floats | None = None
) -> TrainRow:
    """A row of a text that need not have been sampled: for supervised training and for preferences.

    Args:
        prompt: [P], of weight 0.
        tokens: [T] that follow.
        mask: [T], true for those that are trained on.
        weight: of each of them.
        worth: the advantage of the text.
        old_logp: [P + T], of the reference; None: not known, 0.
    """
    length = len(prompt) + len(tokens)
    none = np.zeros(length, np.float32)
    return TrainRow(
        tokens=np.concatenate([prompt, tokens]).astype(np.int32),
        old_logp=none if old_logp is None else old_logp,
        advantage=np.full(length, worth, np.float32),
        clip_low=none,
        clip_high=none,
        weight=np.concatenate([np.zeros(len(prompt)), np.where(mask, weight, 0.0)]).astype(np.float32),
        sampler_logp=none,
    )


def _row(lesson: Lesson, weight: Floats) -> TrainRow:
    t = lesson.trajectory
    prompt = np.zeros(len(t.prompt), np.float32)
    length = len(t.prompt) + len(t.tokens)
    logp = np.concatenate([prompt, t.logprobs])
    return TrainRow(
        tokens=np.concatenate([t.prompt, t.tokens]).astype(np.int32),
        old_logp=logp,
        advantage=np.full(length, lesson.advantage, np.float32),
        clip_low=np.full(length, lesson.clip_low, np.float32),
        clip_high=np.full(length, lesson.clip_high, np.float32),
        weight=np.concatenate([prompt, weight]).astype(np.float32),
        sampler_logp=logp,
        bin=lesson.bin,
    )
