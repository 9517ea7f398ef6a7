"""Advantages and the per-task numbers that shape the objective. Pure numpy, no tokens: one number per
trajectory.

Every baseline is one formula, A = (R - baseline[key]) / scale[key]; methods differ in what the key is: the
prompt group (GRPO), the whole batch, a pair of role and task type, a pair of game and seat.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Baseline = Literal["mean", "leave_one_out"]
Scale = Literal["std", "none"]

EPSILON = 1e-6


def keyed(
    rewards: ArrayLike,
    keys: Sequence[Hashable],
    *,
    baseline: Baseline = "mean",
    scale: Scale = "std",
    epsilon: float = EPSILON,
) -> Array:
    """A = (R - baseline[key]) / scale[key], where keys do not influence each other.

    A key whose rewards are all equal, or that has one reward only, teaches nothing: its advantages are
    exactly zero.

    Args:
        rewards: [N].
        keys: [N], any hashable values; rewards with equal keys share baseline and scale.
        baseline: ``mean`` of all rewards of the key, or ``leave_one_out``: of all but the one at hand
            (unbiased; RLOO, Ahmadian et al., arXiv 2402.14740).
        scale: ``std``: sample standard deviation (n - 1) plus epsilon; ``none``: 1.
        epsilon: added to the standard deviation.

    Returns:
        [N].

    Raises:
        ValueError: rewards and keys differ in length, or a reward is not a finite number.
    """
    values = _finite(rewards, len(keys))
    members: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    advantages = np.zeros_like(values)
    for indices in members.values():
        advantages[indices] = _one_key(values[indices], baseline, scale, epsilon)
    return advantages


def _finite(rewards: ArrayLike, keys: int) -> Array:
    """The rewards [N] of as many keys.

    Raises:
        ValueError: they differ in number, or a reward is not a finite number.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if values.shape != (keys,):
        raise ValueError(f"rewards of shape {values.shape} do not match {keys} keys")
    if not np.isfinite(values).all():
        raise ValueError(f"reward {int(np.flatnonzero(~np.isfinite(values))[0])} is not a finite number")
    return values


def _one_key(rewards: Array, baseline: Baseline, scale: Scale, epsilon: float) -> Array:
    """The formula for the rewards [n] of one key."""
    if np.ptp(rewards) == 0:  # also n = 1; the mean of equal floats may be off by a rounding error
        return np.zeros_like(rewards)
    centred: Array = rewards - rewards.mean()
    if baseline == "leave_one_out":  # R - (sum - R) / (n - 1) = n / (n - 1) * (R - mean)
        centred = centred * (len(rewards) / (len(rewards) - 1))
    deviation = float(rewards.std(ddof=1)) + epsilon if scale == "std" else 1.0
    return centred / deviation


def group_relative(rewards: ArrayLike, epsilon: float = EPSILON) -> Array:
    """GRPO: (R - mean) / (std + epsilon) over the rewards [G] of one prompt, sample standard deviation.

    A group without variance gives zeros.

    Source: DeepSeekMath (arXiv 2402.03300); Agent0 (arXiv 2511.16043), section 3.1.
    """
    return keyed(rewards, (None,) * np.size(rewards), epsilon=epsilon)


def role_conditioned(
    rewards: ArrayLike, keys: Sequence[str], baselines: Mapping[str, float], *, alpha: float = 0.95
) -> tuple[Array, dict[str, float]]:
    """RAE: A = R - b[key] with b from before this game, and then b[key] = alpha * b[key] + (1 - alpha) * R.

    Rewards are taken in their order, so a later one of the same key meets a baseline that earlier ones have moved. A
    baseline that takes its own reward into account first would shrink every advantage by alpha, and two seats of one
    key would share what the seat alone is worth.

    Source: SPIRAL (arXiv 2506.24119), role-conditioned advantage estimation; alpha 0.95 and baselines of 0 at the start
    are those of the paper.

    Args:
        rewards: [N], in the order in which the games were played.
        keys: [N], the pair of game and seat of each.
        baselines: by key, from before; a key that is not there begins at 0. They are not changed.
        alpha: share of the old baseline that is kept, in [0, 1).

    Returns:
        The advantages [N], and the baselines after all of the rewards.

    Raises:
        ValueError: rewards and keys differ in length, or a reward is not a finite number.
    """
    values = _finite(rewards, len(keys))
    moved, advantages = dict(baselines), np.zeros_like(values)
    for index, key in enumerate(keys):
        before = moved.get(key, 0.0)
        advantages[index] = values[index] - before
        moved[key] = alpha * before + (1.0 - alpha) * float(values[index])
    return advantages, moved


def adpo_scale(p_hat: ArrayLike, *, floor: float = 0.6, lower: float = 0.3, upper: float = 0.8) -> Array:
    """ADPO's advantage scale s(p_hat): ``floor`` at and below ``lower``, rising linearly to 1 at ``upper``.

    Labels of ambiguous tasks are less reliable, so they teach less. ``floor`` = 1 is GRPO.

    Source: Agent0 (arXiv 2511.16043), equation 8, which asks for an increasing function; the constants are
    those of the published code.

    Args:
        p_hat: any shape, in [0, 1].

    Returns:
        Same shape, in [floor, 1].
    """
    return floor + (1.0 - floor) * _ramp(p_hat, lower, upper)


def adpo_clip_high(
    p_hat: ArrayLike, *, base: float = 0.2, extra: float = 0.1, lower: float = 0.3, upper: float = 0.8
) -> Array:
    """ADPO's upper clip bound: ``base + extra`` at and below ``lower``, falling linearly to ``base`` at
    ``upper``.

    Wider where the solver is unsure, so that unlikely tokens can grow. ``extra`` = 0 is the constant bound
    of GRPO.

    Source: Agent0 (arXiv 2511.16043), section 3.3.2, which asks for a decreasing function; the constants are
    those of the published code.

    Args:
        p_hat: any shape, in [0, 1].

    Returns:
        Same shape, in [base, base + extra].
    """
    return base + extra * (1.0 - _ramp(p_hat, lower, upper))


def _ramp(p_hat: ArrayLike, lower: float, upper: float) -> Array:
    """0 up to ``lower``, 1 from ``upper`` on, linear between."""
    return np.clip((np.asarray(p_hat, dtype=np.float64) - lower) / (upper - lower), 0.0, 1.0)
