"""Voting in rounds: when more answers to a task can hardly change whether the gate keeps it, nobody need give them."""

from __future__ import annotations

from math import exp, lgamma

_SLACK = 1e-9  # as in the gate: 3 of 10 pass a bound of 0.3 however it was rounded


def chance_inside(majority: int, asked: int, k: int, lower: float, upper: float) -> float:
    """How probable it is that lower <= p_hat <= upper once all k answers are there.

    The share of the majority is unknown and uniform beforehand, so the majority among the answers to come is
    beta-binomial given those that are there. That another answer may become the majority is left out: it happens
    where votes are scattered, far below the gate or inside it.

    Args:
        majority: votes of the largest class, of ``asked`` answers.
        asked: answers that are there, in 0 ... k.
        k: answers of a whole vote.
        lower, upper: bounds of the gate, inclusive.
    """
    left = k - asked
    first = max(0, -int(-(lower * k - _SLACK) // 1) - majority)  # more majority votes that are needed
    last = min(left, int((upper * k + _SLACK) // 1) - majority)  # and that are allowed
    return sum(_beta_binomial(more, left, 1 + majority, 1 + asked - majority) for more in range(first, last + 1))


def _beta_binomial(hits: int, draws: int, a: int, b: int) -> float:
    """P(hits of draws) where the rate is Beta(a, b)."""
    ways = lgamma(draws + 1) - lgamma(hits + 1) - lgamma(draws - hits + 1)
    return exp(ways + _log_beta(a + hits, b + draws - hits) - _log_beta(a, b))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
